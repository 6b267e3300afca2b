import { expect, test } from 'vitest';
import type { Job } from '../api/types';
import { actions, filterInWords, gone, listOf, pace } from './jobs';

const JOB = {
  id: 'j1',
  state: 'running',
  filter: { destination: 'crm', reason: 'exhausted' },
  done: 100,
  failed: 3,
  skipped: 1,
  started_at: '2026-11-28T02:00:00.000Z',
  ended_at: null,
} as unknown as Job;

test('a job leads to the list of what it is of', () => {
  expect(listOf(JOB)).toBe('/dead-letters?destination=crm&reason=exhausted&rows=all');
  expect(listOf({ ...JOB, filter: { state: 'delivered', key: 'a b' } })).toBe('/deliveries?state=delivered&key=a+b');
  expect(filterInWords(JOB)).toBe('dead, destination crm, reason exhausted');
});

test('its pace is over all of its time', () => {
  expect(gone(JOB)).toBe(104);
  expect(pace(JOB, Date.parse('2026-11-28T02:00:52.000Z'))).toBe(2);
  expect(pace({ ...JOB, ended_at: '2026-11-28T02:00:26.000Z' }, 0)).toBe(4);
  expect(pace({ ...JOB, started_at: null }, 0)).toBe(null);
});

test.each([
  ['running', ['pause', 'cancel']],
  ['paused', ['resume', 'cancel']],
  ['failed', ['resume', 'cancel']],
  ['done', []],
  ['cancelled', []],
])('one that is %s may be: %s', (state, may) => expect(actions({ ...JOB, state } as Job)).toEqual(may));
