import { expect, test } from 'vitest';
import { chosen, short, ticks, timeLabel } from './plot';

test('the axis has round numbers with room between them', () => {
  expect(ticks(1, 160)).toEqual([0, 1]);
  expect(ticks(1200, 160)).toEqual([0, 50, 200, 500, 1000]);
  expect(ticks(0, 160)).toEqual([0]);
});

test.each([
  [0, '0'],
  [999, '999'],
  [1200, '1.2k'],
  [3_000_000, '3M'],
])('%d is %s on an axis', (value, said) => expect(short(value)).toBe(said));

test('a time of the axis says the day where one begins', () => {
  const at = (text: string): number => new Date(text).getTime() / 1000;
  expect(timeLabel(at('2026-11-28T02:10:00'), 600)).toBe('02:10');
  expect(timeLabel(at('2026-11-28T00:00:00'), 3600)).toBe('11-28');
  expect(timeLabel(at('2026-11-28T12:00:00'), 86_400)).toBe('11-28');
});

test('a drag chooses whole minutes', () => {
  const from = Date.parse('2026-11-28T02:10:20Z');
  expect(chosen(from, from + 90_000)).toEqual({ since: '2026-11-28T02:10:00.000Z', until: '2026-11-28T02:12:00.000Z' });
  expect(chosen(Date.parse('2026-11-28T02:10:00Z'), Date.parse('2026-11-28T02:10:00Z'))).toBe(null);
});
