/** Who is looking, what they may, and where this Longstop runs. */
import { get, post, remove, whenUnauthorised } from './api/client';
import { Problem } from './api/problem';
import type { Session } from './api/types';
import { live } from './live/live.svelte';
import { router } from './router.svelte';

const REMEMBERED = 'longstop.next';
const PLACES = new Set(['red', 'orange', 'yellow', 'green', 'blue', 'violet', 'grey']);

class Who {
  session = $state.raw<Session | null>(null);
  problem = $state.raw<Problem | null>(null);

  get place(): string {
    return this.session?.console.name ?? '';
  }

  get colour(): string {
    const colour = this.session?.console.colour ?? 'grey';
    return PLACES.has(colour) ? colour : 'grey';
  }

  /** Whether a person may do what takes a scope. The gateway decides; this only says so before. */
  may(scope: 'view' | 'replay' | 'admin' | 'bodies'): boolean {
    return this.session === null || this.session.scopes.includes(scope);
  }

  async load(): Promise<void> {
    try {
      this.session = await get<Session>('session');
      this.problem = null;
    } catch (thrown) {
      this.problem = Problem.from(thrown);
      return;
    }
    if (!this.session.authenticated) return this.#askToLogIn();
    live.start();
    const remembered = sessionStorage.getItem(REMEMBERED);
    sessionStorage.removeItem(REMEMBERED);
    if (remembered !== null && router.here === '/') router.go(this.#own(remembered), { replace: true });
  }

  async logIn(name: string, password: string): Promise<void> {
    await post('session', { name, password });
    await this.load();
    router.go(this.#own(router.params.get('next') ?? '/'), { replace: true });
  }

  /** Before going to the identity provider, which leads back to the first page: where the person was going. */
  remember(): void {
    sessionStorage.setItem(REMEMBERED, router.params.get('next') ?? '/');
  }

  async logOut(): Promise<void> {
    await remove('session');
    live.stop();
    await this.load();
  }

  start(): void {
    whenUnauthorised(() => this.#askToLogIn());
    void this.load();
  }

  #askToLogIn(): void {
    live.stop();
    if (router.route.page === 'login') return;
    const next = router.here;
    router.go(next === '/' ? '/login' : `/login?next=${encodeURIComponent(next)}`, { replace: true });
  }

  /** An address to go to, if it is the console's own; never another site. */
  #own(next: string): string {
    const url = new URL(next, location.origin);
    return url.origin === location.origin ? url.pathname + url.search : '/';
  }
}

export const who = new Who();
