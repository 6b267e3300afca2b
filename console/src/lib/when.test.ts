import { expect, test } from 'vitest';
import { bars, inAddress, said, whenOf, WHENS } from './when';

const HOUR = 3600;
const FROM = new Date(2026, 10, 28, 2, 0).getTime();

test('the address says how far back, and nothing where it is the usual', () => {
  for (const when of WHENS) {
    const name = inAddress(when);
    expect(whenOf(new URLSearchParams(name === null ? {} : { when: name }))).toBe(when);
  }
  expect(whenOf(new URLSearchParams('when=ever')).name).toBe('24h');
  expect(inAddress(whenOf(new URLSearchParams()))).toBeNull();
});

test('every step is a multiple of what a store counts by', () => {
  for (const { step, steps } of WHENS) expect([step % 900, steps <= 200]).toEqual([0, true]);
});

test('one beside many still has a bar, and none has none', () => {
  expect(bars([0, 10_000, 1, 0])).toEqual([
    { at: 1, height: 1 },
    { at: 2, height: 0.01 },
  ]);
  expect(bars([0, 0])).toEqual([]);
});

test('it is said in words when they died', () => {
  expect(said([0, 3, 1], FROM, HOUR, 1204)).toBe('4 of 1,204 in the last 3 h, most (3) in the 1 h from 2026-11-28 03:00 on');
  expect(said([0, 0], FROM, HOUR, 9)).toBe('none in the last 2 h, 9 before');
});
