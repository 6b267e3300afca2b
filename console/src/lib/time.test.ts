import { describe, expect, test } from 'vitest';
import { ago, duration, isRelative, rough, since, utc } from './time';

const NOW = Date.parse('2026-11-28T02:14:30.500Z');
const S = 1000;
const MIN = 60 * S;
const H = 60 * MIN;
const D = 24 * H;

describe('how long ago', () => {
  test.each([
    [0, 'just now'],
    [9 * S, 'just now'],
    [10 * S, '10 s ago'],
    [59 * S, '50 s ago'],
    [MIN, '1 min ago'],
    [3 * MIN + 59 * S, '3 min ago'],
    [H - 1, '59 min ago'],
    [H, '1 h ago'],
    [2 * D - 1, '47 h ago'],
    [2 * D, '2 d ago'],
    [400 * D, '400 d ago'],
  ])('%i ms is "%s"', (away, said) => expect(ago(NOW - away, NOW)).toBe(said));

  test('what is to come says so', () => {
    expect(ago(NOW + 25 * S, NOW)).toBe('in 20 s');
    expect(ago(NOW + 3 * H, NOW)).toBe('in 3 h');
    expect(ago(NOW + 2 * S, NOW)).toBe('now');
  });

  test('a unit is never rounded up to one that has not passed', () => expect(rough(MIN - 1)).toBe('59 s'));
});

test.each([
  [4, '4 ms'],
  [999, '999 ms'],
  [1240, '1.2 s'],
  [9999, '9.9 s'],
  [10 * S, '10 s'],
  [3 * MIN + 5 * S, '3 min 05 s'],
  [2 * H + 14 * MIN, '2 h 14 min'],
  [3 * D + 5 * H, '3 d 5 h'],
])('%i ms took "%s"', (ms, said) => expect(duration(ms)).toBe(said));

test('the exact time is told to the millisecond', () => expect(utc(NOW)).toBe('2026-11-28 02:14:30.500 UTC'));

describe('since when', () => {
  test('a relative time is that long before now, to the minute, so that the pages of a list are cut alike', () => {
    expect(since('2h', NOW)).toBe('2026-11-28T00:14:00.000Z');
    expect(since('30min', NOW + 20 * S)).toBe(since('30min', NOW));
    expect(since('7d', NOW)).toBe('2026-11-21T02:14:00.000Z');
  });

  test('anything else is left to the gateway, which says what it expects', () => {
    expect(since('2026-11-28T00:00Z', NOW)).toBe('2026-11-28T00:00Z');
    expect(since('yesterday', NOW)).toBe('yesterday');
    expect([isRelative('24h'), isRelative('h'), isRelative('2026-11-28')]).toEqual([true, false, false]);
  });
});
