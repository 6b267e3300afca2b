/** When the dead letters of a cause died: the last so many steps, as they are asked for and said. */
import { local, rough } from './time';

export interface When {
  /** As the address has it. */
  name: string;
  /** In seconds. */
  step: number;
  steps: number;
}

const MINUTE = 60;
const HOUR = 60 * MINUTE;

/** A store counts by the quarter of an hour. As many bars as there is room for. */
export const WHENS: readonly When[] = [
  { name: '6h', step: 15 * MINUTE, steps: 24 },
  { name: '24h', step: HOUR, steps: 24 },
  { name: '7d', step: 6 * HOUR, steps: 28 },
  { name: '30d', step: 24 * HOUR, steps: 30 },
];
const USUAL = 1;

export function whenOf(params: URLSearchParams): When {
  const found = WHENS.find(({ name }) => name === params.get('when')) ?? WHENS[USUAL];
  if (!found) throw new Error('there is a usual one');
  return found;
}

/** What the address says for it: nothing for the usual one. */
export function inAddress({ name }: When): string | null {
  return name === WHENS[USUAL]?.name ? null : name;
}

/** A bar for each step that has any: from where to where, and how high, of 1. The root, so that one beside thousands shows. */
export function bars(counts: readonly number[]): { at: number; height: number }[] {
  const most = Math.max(...counts, 1);
  return counts.flatMap((n, at) => (n === 0 ? [] : [{ at, height: Math.sqrt(n / most) }]));
}

/** "412 of 1,204 in the last 6 h, most (300) from 2026-11-28 02:15 on". */
export function said(counts: readonly number[], from: number, step: number, all: number): string {
  const sum = counts.reduce((one, other) => one + other, 0);
  const last = `in the last ${rough(counts.length * step * 1000)}`;
  if (sum === 0) return `none ${last}, ${all.toLocaleString('en-US')} before`;
  const most = Math.max(...counts);
  const began = local(from + counts.indexOf(most) * step * 1000).slice(0, 16);
  const text = `${sum.toLocaleString('en-US')} of ${all.toLocaleString('en-US')} ${last}`;
  return counts.length > 1 ? `${text}, most (${most.toLocaleString('en-US')}) in the ${rough(step * 1000)} from ${began} on` : text;
}
