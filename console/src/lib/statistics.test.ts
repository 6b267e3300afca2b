import { expect, test } from 'vitest';
import type { Statistics } from '../api/places';
import { counts, latency, rate, share, slowest, total } from './statistics';

const TOLD: Statistics = {
  from: '2026-11-28T02:00:00.000Z',
  to: '2026-11-28T02:02:00.000Z',
  step_s: 60,
  series: [
    { name: 'delivered', source: null, destination: 'crm', points: [3, 4] },
    { name: 'delivered', source: null, destination: 'billing', points: [1, 0] },
    { name: 'latency', source: null, destination: null, points: [{ p50: 0.004, p99: 0.21 }, null] },
  ],
};

test('a line is found by what it is of', () => {
  expect(counts(TOLD, 'delivered', { destination: 'crm' })).toEqual([3, 4]);
  expect(total(TOLD, 'delivered', { destination: 'billing' })).toBe(1);
  expect(total(TOLD, 'dead', { destination: 'crm' })).toBe(0);
  expect(latency(TOLD)).toEqual({ p50: 0.004, p99: 0.21 });
  expect(slowest(TOLD)).toEqual([0.21, null]);
});

test.each([
  [0, 0, null],
  [5, 0, '100 %'],
  [61, 39, '61 %'],
  [9999, 1, '99.9 %'],
  [0, 3, '0 %'],
])('%d of good and %d of bad attempts are %s', (good, bad, said) => expect(share(good, bad)).toBe(said));

test.each([
  [0, '0'],
  [0.02, '<0.1'],
  [0.34, '0.3'],
  [12.44, '12.4'],
  [1204.4, '1,204'],
])('%d a minute is %s', (perMinute, said) => expect(rate(perMinute)).toBe(said));
