import { expect, test } from 'vitest';
import { asked, minutesIn, rangeOf, stepsOver } from './range';

const NOW = Date.parse('2026-11-28T02:14:09.512Z');
const of = (query: string) => rangeOf(new URLSearchParams(query), NOW);
const iso = (ms: number) => new Date(ms).toISOString();

test('an hour is told by the minute, up to the minute that still grows', () => {
  const range = of('');
  expect([range.since, range.until, range.open]).toEqual(['1h', null, true]);
  expect([iso(range.from), iso(range.to), range.step]).toEqual(['2026-11-28T01:14:00.000Z', '2026-11-28T02:15:00.000Z', 60_000]);
  expect(stepsOver(range, NOW)).toBe(60);
  expect(minutesIn(range, NOW)).toBeCloseTo(60.16, 2);
});

test.each([
  ['since=24h', 600],
  ['since=7d', 7200],
  ['since=2026-11-01T00:00Z', 21600],
  ['since=2026-11-20T00:00Z&until=2026-11-20T01:00Z', 3600],
  ['since=400d', 259200],
])('%s has steps of %d s, of which all of it is made up', (query, step) => {
  const range = of(query);
  expect(range.step / 1000).toBe(step);
  expect((range.to - range.from) % range.step).toBe(0);
  expect((range.to - range.from) / range.step).toBeLessThanOrEqual(152);
  expect(asked(range, true).step * 1000).toBe(range.to - range.from);
});

test('a range that is over does not grow', () => {
  const range = of('since=2026-11-28T00:00:00Z&until=2026-11-28T00:30:00Z');
  expect([range.open, stepsOver(range, NOW), minutesIn(range, NOW)]).toEqual([false, 30, 30]);
});

test.each(['since=nonsense', 'until=nonsense', 'since=2026-11-28T03:00Z&until=2026-11-28T01:00Z', 'until=2026-11-28T01:00Z'])(
  '%s is some range all the same',
  (query) => {
    const range = of(query);
    expect(range.to).toBeGreaterThan(range.from);
    expect(Number.isFinite(range.from)).toBe(true);
  },
);
