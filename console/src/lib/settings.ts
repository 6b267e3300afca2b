/** Settings of destinations and sources, in words. */
import type { Destination } from '../api/places';
import { duration } from './time';

/** "up to 3 attempts: 1.0 s after the first, then 2 times longer each, 15 min 00 s at most; given up after 3 d 0 h". */
export function retryInWords(retry: NonNullable<Destination['retry']>): string {
  const times = retry.attempts === null ? 'any number of attempts' : `up to ${retry.attempts} attempts`;
  const first = duration(retry.first_s * 1000);
  return `${times}: ${first} after the first, then ${retry.factor} times longer each, ${duration(retry.cap_s * 1000)} at most (jitter: ${retry.jitter}); given up after ${duration(retry.max_age_s * 1000)}`;
}

/** How much of what it takes at once is in use now. */
export function inUse(destination: Destination): string {
  const { limits, counts } = destination;
  if (limits === null) return `${counts.leased} under way`;
  const rate = limits.rate_per_s === null ? '' : `; ${limits.rate_per_s} a second at most`;
  return `${counts.leased} of ${limits.concurrency} at once${limits.adaptive ? ' (fewer while it is slow)' : ''}${rate}`;
}

export interface Waiting {
  why: string;
  n: number;
  /** When the first of them is due; null: nobody can say. */
  due: string | null;
}

/** Why deliveries wait, the most frequent reason first. */
export function whyTheyWait(rows: readonly { waits_for?: string | null; due_at?: string | null }[]): Waiting[] {
  const found = new Map<string, Waiting>();
  for (const { waits_for, due_at } of rows) {
    const why = waits_for ?? 'time';
    const one = found.get(why) ?? { why, n: 0, due: null };
    one.n += 1;
    if (due_at && (one.due === null || due_at < one.due)) one.due = due_at;
    found.set(why, one);
  }
  return [...found.values()].sort((one, other) => other.n - one.n);
}
