/** What went wrong with a request: problem+json, or why there was no answer at all. */
export class Problem extends Error {
  constructor(
    /** The HTTP status; 0: no answer came. */
    readonly status: number,
    readonly title: string,
    readonly detail: string | null = null,
    /** 403: the scope that is missing. */
    readonly scope: string | null = null,
    readonly errors: { path?: string; found?: string; expected?: string; hint?: string }[] = [],
    readonly retryAfterS: number | null = null,
  ) {
    super(detail ?? title);
  }

  get forbidden(): boolean {
    return this.status === 403;
  }

  get missing(): boolean {
    return this.status === 404;
  }

  /** The problem that an answer tells of. */
  static async of(answer: Response): Promise<Problem> {
    const retryAfter = Number(answer.headers.get('retry-after'));
    const told = await answer.json().catch(() => null);
    if (told === null || typeof told !== 'object') {
      return new Problem(answer.status, answer.statusText || `The gateway answered ${answer.status}`);
    }
    const errors = Array.isArray(told.errors) ? told.errors : [];
    return new Problem(
      answer.status,
      String(told.title ?? `The gateway answered ${answer.status}`),
      told.detail == null ? null : String(told.detail),
      told.scope == null ? null : String(told.scope),
      errors,
      retryAfter > 0 ? retryAfter : null,
    );
  }

  /** Whatever was thrown, as a problem. */
  static from(thrown: unknown): Problem {
    if (thrown instanceof Problem) return thrown;
    if (thrown instanceof TypeError) return new Problem(0, 'The gateway does not answer', 'Is it running, and is this machine connected to it?');
    return new Problem(0, 'The console made a mistake', String(thrown));
  }
}
