import { expect, test } from 'vitest';
import type { Destination } from '../api/places';
import { inUse, retryInWords, whyTheyWait } from './settings';

test('a retry policy is a sentence', () => {
  const retry = { attempts: null, first_s: 1, factor: 2, cap_s: 900, jitter: 'full', max_age_s: 259_200, on_dead: 'park' };
  expect(retryInWords(retry)).toBe(
    'any number of attempts: 1.0 s after the first, then 2 times longer each, 15 min 00 s at most (jitter: full); given up after 3 d 0 h',
  );
  expect(retryInWords({ ...retry, attempts: 3 })).toMatch(/^up to 3 attempts/);
});

test('limits say what is in use', () => {
  const crm = { counts: { leased: 2 }, limits: { concurrency: 10, adaptive: true, rate_per_s: 50 } } as unknown as Destination;
  expect(inUse(crm)).toBe('2 of 10 at once (fewer while it is slow); 50 a second at most');
  expect(inUse({ ...crm, limits: null })).toBe('2 under way');
});

test('reasons to wait are counted, with when the first of each is due', () => {
  const rows = [
    { waits_for: 'held', due_at: null },
    { waits_for: 'retry_after', due_at: '2026-11-28T03:00:00.000Z' },
    { waits_for: 'held', due_at: null },
    { waits_for: 'retry_after', due_at: '2026-11-28T02:00:00.000Z' },
    { waits_for: 'retry_after', due_at: '2026-11-28T04:00:00.000Z' },
    {},
  ];
  expect(whyTheyWait(rows)).toEqual([
    { why: 'retry_after', n: 3, due: '2026-11-28T02:00:00.000Z' },
    { why: 'held', n: 2, due: null },
    { why: 'time', n: 1, due: null },
  ]);
});
