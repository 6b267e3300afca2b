import { expect, test } from 'vitest';
import type { EventDelivery, EventPage } from '../api/types';
import { discardable, replayable, timeline } from './timeline';

const delivery = (id: string, more: Partial<EventDelivery> = {}): EventDelivery => ({
  id,
  destination: 'crm',
  state: 'delivered',
  attempts: 1,
  skipped: false,
  reason: null,
  due_at: null,
  in_order: false,
  waits_until: null,
  waits_for: null,
  held_by: null,
  expires_at: null,
  replaced_by: null,
  ...more,
});

const EVENT = {
  id: 'event',
  received_at: '2026-11-28T02:00:00.000Z',
  edits: [{ event_id: 'new', parent: 'event', at: '2026-11-28T02:09:00.000Z', by: 'operator', why: 'typo' }],
  deliveries: [delivery('d1', { state: 'scheduled', waits_for: 'backoff', due_at: '2026-11-28T03:00:00.000Z' }), delivery('d2')],
  history: [
    {
      delivery_id: 'd1',
      destination: 'crm',
      attempts: [1, 2].map((number) => ({
        number,
        round: 1,
        started_at: `2026-11-28T02:0${number}:00.000Z`,
        duration_ms: 5,
        outcome: 'retry' as const,
        status: 503,
        error: null,
        answer: null,
        frames: null,
      })),
      actions: [{ action: 'replay' as const, at: '2026-11-28T02:01:30.000Z', by: 'operator', why: null }],
    },
  ],
} as unknown as EventPage;

test('everything stands in the order of time, and what it waits for at the end', () => {
  expect(timeline(EVENT).map(({ id, kind }) => `${kind} ${id}`)).toEqual([
    'received received',
    'attempt d1/1',
    'action d1/action/0',
    'attempt d1/2',
    'edit edit/new',
    'waits d1/waits',
  ]);
});

test('a replay means what is dead, or else all that has ended', () => {
  const dead = delivery('dead', { state: 'dead' });
  const waits = delivery('waits', { state: 'scheduled' });
  const gone = delivery('gone', { state: 'discarded' });
  expect(replayable([delivery('came'), dead, waits])).toEqual(['dead']);
  expect(replayable([delivery('came'), waits, gone])).toEqual(['came', 'gone']);
  expect(replayable([waits])).toEqual([]);
});

test('a discard means what is dead, or else what waits; never what was delivered', () => {
  const dead = delivery('dead', { state: 'dead' });
  const waits = delivery('waits', { state: 'scheduled' });
  expect(discardable([delivery('came'), dead, waits])).toEqual(['dead']);
  expect(discardable([delivery('came'), waits])).toEqual(['waits']);
  expect(discardable([delivery('came'), delivery('under way', { state: 'leased' })])).toEqual([]);
});
