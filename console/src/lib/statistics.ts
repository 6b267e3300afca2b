/** Statistics as the pages need them: a line's points as numbers, sums, and what of the attempts was good. */
import type { Line, Quantiles, Series, Statistics } from '../api/places';

interface Of {
  source?: string | null;
  destination?: string | null;
}

function find(told: Statistics, name: Series, { source, destination }: Of): Line | undefined {
  return told.series.find(
    (line) =>
      line.name === name && (source === undefined || line.source === source) && (destination === undefined || line.destination === destination),
  );
}

/** The counts of a series, one for each step; none where there was nothing. */
export function counts(told: Statistics, name: Series, of: Of = {}): number[] {
  return (find(told, name, of)?.points ?? []).map((point) => (typeof point === 'number' ? point : 0));
}

export function total(told: Statistics, name: Series, of: Of = {}): number {
  return counts(told, name, of).reduce((sum, n) => sum + n, 0);
}

/** The latencies of a series that has one step: of all of the range. */
export function latency(told: Statistics, of: Of = {}): Quantiles | null {
  const point = find(told, 'latency', of)?.points[0];
  return point !== null && typeof point === 'object' ? point : null;
}

/** The slowest hundredth in each step, in seconds; null where nothing was delivered. */
export function slowest(told: Statistics): (number | null)[] {
  return (find(told, 'latency', {})?.points ?? []).map((point) => (point !== null && typeof point === 'object' ? point.p99 : null));
}

/** "100 %", "99.9 %", "61 %": rounded down, as one failure is not none. null: there were no attempts. */
export function share(good: number, bad: number): string | null {
  const all = good + bad;
  if (all === 0) return null;
  const percent = (good / all) * 100;
  return `${percent === 100 || percent < 99 ? Math.floor(percent) : (Math.floor(percent * 10) / 10).toFixed(1)} %`;
}

/** "1,204", "12.4", "0.3": a rate, with as much behind the point as says something. */
export function rate(perMinute: number): string {
  if (perMinute === 0) return '0';
  if (perMinute < 0.1) return '<0.1';
  if (perMinute < 100) return (Math.round(perMinute * 10) / 10).toString();
  return Math.round(perMinute).toLocaleString('en-US');
}
