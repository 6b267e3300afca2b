/** The running configuration as lines: a path as the file has it, and a value. */
import { duration } from './time';
import { bytes } from './words';

export interface Line {
  path: string;
  value: string;
}

/** `{sources: [{name: "shop", kind: "generic"}]}` is `sources.shop.kind` = generic. What is not set is left out. */
export function lines(value: unknown, path = ''): Line[] {
  if (value === null || value === undefined || value === '') return [];
  if (Array.isArray(value)) {
    if (value.every((each) => typeof each !== 'object' || each === null)) return value.length ? [{ path, value: value.map(String).join(', ') }] : [];
    return value.flatMap((each, index) => lines(each, `${path}.${nameOf(each) ?? index + 1}`));
  }
  if (typeof value === 'object') {
    const named = path.endsWith(`.${nameOf(value) ?? ' '}`);
    return Object.entries(value).flatMap(([name, each]) => (named && name === 'name' ? [] : lines(each, path ? `${path}.${name}` : name)));
  }
  return [{ path, value: inWords(path, value) }];
}

/** A setting's value, and what its number means: "604800000 (7 d 0 h)". */
export function inWords(name: string, value: unknown): string {
  if (typeof value === 'number' && value >= 1000) {
    if (name.endsWith('_ms')) return `${value} (${duration(value)})`;
    if (name.endsWith('_bytes') || name.endsWith('bytes_max')) return `${value} (${bytes(value)})`;
  }
  if (Array.isArray(value)) return value.join(', ');
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

function nameOf(value: unknown): string | null {
  const name = value !== null && typeof value === 'object' ? (value as Record<string, unknown>)['name'] : null;
  return typeof name === 'string' && name !== '' ? name : null;
}

export function matching(all: readonly Line[], text: string): Line[] {
  const sought = text.trim().toLowerCase();
  return all.filter(({ path, value }) => `${path} ${value}`.toLowerCase().includes(sought));
}
