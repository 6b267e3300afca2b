/**
 * JSON as it was sent: numbers keep their digits (12345678901234567890 stays that), and a name that stands twice is
 * there twice. `JSON.parse` would lose both.
 */

export type JsonNode =
  | { kind: 'object'; members: { name: string; value: JsonNode }[] }
  | { kind: 'array'; members: { name: string; value: JsonNode }[] }
  | { kind: 'string'; text: string }
  | { kind: 'number' | 'word'; text: string };

const DEPTH_MAX = 500;

/** The tree of a text, or null where it is no JSON (or nested deeper than anybody would read). */
export function parseJson(text: string): JsonNode | null {
  const reader = new Reader(text);
  try {
    const node = reader.value(0);
    reader.space();
    return reader.atEnd ? node : null;
  } catch (thrown) {
    if (thrown instanceof NoJson) return null;
    throw thrown;
  }
}

class NoJson extends Error {}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /true|false|null/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const SPACE = /[ \t\n\r]*/y;

class Reader {
  #at = 0;

  constructor(readonly text: string) {}

  get atEnd(): boolean {
    return this.#at === this.text.length;
  }

  space(): void {
    this.#take(SPACE);
  }

  value(depth: number): JsonNode {
    if (depth > DEPTH_MAX) throw new NoJson();
    this.space();
    const first = this.text[this.#at];
    if (first === '{') return { kind: 'object', members: this.#object(depth) };
    if (first === '[') return { kind: 'array', members: this.#array(depth) };
    if (first === '"') return { kind: 'string', text: this.#string() };
    const number = this.#take(NUMBER);
    if (number) return { kind: 'number', text: number };
    const word = this.#take(WORD);
    if (word) return { kind: 'word', text: word };
    throw new NoJson();
  }

  #object(depth: number): { name: string; value: JsonNode }[] {
    return this.#members('}', () => {
      const name = this.#string();
      this.space();
      if (!this.#sees(':')) throw new NoJson();
      return { name, value: this.value(depth + 1) };
    });
  }

  #array(depth: number): { name: string; value: JsonNode }[] {
    let index = 0;
    return this.#members(']', () => ({ name: String(index++), value: this.value(depth + 1) }));
  }

  #members<T>(end: string, member: () => T): T[] {
    const found: T[] = [];
    this.#at += 1;
    this.space();
    if (this.#sees(end)) return found;
    for (;;) {
      this.space();
      found.push(member());
      this.space();
      if (this.#sees(end)) return found;
      if (!this.#sees(',')) throw new NoJson();
    }
  }

  #string(): string {
    const taken = this.#take(STRING);
    if (!taken) throw new NoJson();
    return JSON.parse(taken) as string;
  }

  #sees(character: string): boolean {
    if (this.text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }

  #take(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.text)?.[0] ?? '';
    this.#at += found.length;
    return found;
  }
}

/** The text of a tree, laid out with two spaces: for comparing. */
export function layOut(node: JsonNode, indent = ''): string {
  if ('text' in node) return node.kind === 'string' ? JSON.stringify(node.text) : node.text;
  const [open, close] = node.kind === 'object' ? ['{', '}'] : ['[', ']'];
  if (node.members.length === 0) return open + close;
  const inner = `${indent}  `;
  const lines = node.members.map(({ name, value }) => {
    const label = node.kind === 'object' ? `${JSON.stringify(name)}: ` : '';
    return `${inner}${label}${layOut(value, inner)}`;
  });
  return `${open}\n${lines.join(',\n')}\n${indent}${close}`;
}

/** Whether a node, or anything in it, has a text in its name or value. Letters of either case. */
export function holds(name: string, node: JsonNode, sought: string): boolean {
  if (name.toLowerCase().includes(sought)) return true;
  if ('text' in node) return node.text.toLowerCase().includes(sought);
  return node.members.some((member) => holds(node.kind === 'array' ? '' : member.name, member.value, sought));
}

/** How many leaves of a tree have a text. */
export function hits(name: string, node: JsonNode, sought: string): number {
  const own = name.toLowerCase().includes(sought) ? 1 : 0;
  if ('text' in node) return own || (node.text.toLowerCase().includes(sought) ? 1 : 0);
  return node.members.reduce((sum, member) => sum + hits(node.kind === 'array' ? '' : member.name, member.value, sought), own);
}
