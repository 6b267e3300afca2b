/** Server-sent events, read from a stream of text that may be cut anywhere. */

export interface Message {
  event: string;
  data: string;
  id: string | null;
}

export class MessageReader {
  #rest = '';
  #event = '';
  #data: string[] = [];
  #id: string | null = null;

  /** The messages that this piece of text completes. */
  read(text: string): Message[] {
    const found: Message[] = [];
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      const message = this.#line(line);
      if (message) found.push(message);
    }
    return found;
  }

  #line(line: string): Message | null {
    if (line === '') return this.#complete();
    if (line.startsWith(':')) return null;
    const at = line.indexOf(':');
    const field = at < 0 ? line : line.slice(0, at);
    const value = at < 0 ? '' : line.slice(at + 1).replace(/^ /, '');
    if (field === 'event') this.#event = value;
    else if (field === 'data') this.#data.push(value);
    else if (field === 'id') this.#id = value;
    return null;
  }

  #complete(): Message | null {
    const message = { event: this.#event || 'message', data: this.#data.join('\n'), id: this.#id };
    const said = this.#data.length > 0;
    this.#event = '';
    this.#data = [];
    return said ? message : null;
  }
}

/** How long to wait before the next try: doubling from one second to half a minute, and not all at once. */
export function backOff(failures: number, random: number): number {
  const most = Math.min(30_000, 1000 * 2 ** Math.max(0, failures - 1));
  return most / 2 + (most / 2) * random;
}
