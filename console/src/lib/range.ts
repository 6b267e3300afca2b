/** The time range of a page, as the statistics are asked for it: whole steps, so that every panel counts the same. */
import { parse, since } from './time';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Minutes are kept for two days; further back there are hours alone. */
const MINUTES_KEPT = 2 * DAY;
const STEPS_MAX = 150;
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440].map((minutes) => minutes * MINUTE);

export interface Range {
  /** As the address has them: relative ones stay relative in links. */
  since: string;
  until: string | null;
  /** In milliseconds, both whole steps. */
  from: number;
  to: number;
  step: number;
  /** It goes on: its end is now. */
  open: boolean;
}

export function rangeOf(params: URLSearchParams, now: number, fallback = '1h'): Range {
  const until = params.get('until');
  const told = params.get('since') ?? (until === null ? fallback : null);
  const end = until === null ? now : known(since(until, now), now);
  const start = Math.min(told === null ? end - HOUR : known(since(told, now), end - HOUR), end - MINUTE);
  const step = stepFor(start, end, now);
  const from = Math.floor(start / step) * step;
  const to = Math.max(Math.ceil(end / step) * step, from + step);
  return { since: told ?? new Date(start).toISOString(), until, from, to, step, open: to > now };
}

/** What a statistics query asks: a point for each step, or (`whole`) one for all of it. */
export function asked(range: Range, whole = false): { from: string; to: string; step: number } {
  const { from, to, step } = range;
  return { from: new Date(from).toISOString(), to: new Date(to).toISOString(), step: (whole ? to - from : step) / 1000 };
}

/** How many steps are over. The last one still grows, and would be drawn as a fall. */
export function stepsOver(range: Range, now: number): number {
  return Math.max(0, Math.floor((Math.min(range.to, now) - range.from) / range.step));
}

/** Minutes that the range has had until now: what a rate is of. */
export function minutesIn(range: Range, now: number): number {
  return Math.max(1, (Math.min(range.to, now) - range.from) / MINUTE);
}

function stepFor(from: number, to: number, now: number): number {
  const least = from < now - MINUTES_KEPT ? HOUR : MINUTE;
  const fits = STEPS.find((step) => step >= least && (to - from) / step <= STEPS_MAX);
  return fits ?? Math.ceil((to - from) / STEPS_MAX / DAY) * DAY;
}

function known(text: string, otherwise: number): number {
  const at = parse(text);
  return Number.isNaN(at) ? otherwise : at;
}
