import { expect, test } from 'vitest';
import type { ConversationEvent } from '../api/types';
import { draw } from './conversation';

const START = Date.parse('2026-11-28T02:00:00.000Z');
const at = (ms: number): string => new Date(START + ms).toISOString();

function event(id: string, ms: number, deliveries: object[], history: object[] = []): ConversationEvent {
  return { id, received_at: at(ms), source: 'shop', deliveries, history } as unknown as ConversationEvent;
}

const stuck = event('e1', 0, [{ id: 'd1', destination: 'crm', state: 'scheduled', waits_for: 'backoff', attempts: 3 }]);
const held = event('e2', 90_000, [
  { id: 'd2', destination: 'crm', state: 'scheduled', waits_for: 'held', held_by: 'd1', attempts: 0 },
  { id: 'd3', destination: 'billing', state: 'delivered', attempts: 1 },
], [{ delivery_id: 'd3', destination: 'billing', actions: [], attempts: [{ started_at: at(90_100), duration_ms: 40 }] }]);

test('a lane for each destination, a row for each event, oldest first', () => {
  const drawing = draw({ key: 'k', items: [held, stuck], next: null, may_lag: false }, START + 100_000);
  expect(drawing.lanes).toEqual(['crm', 'billing']);
  expect(drawing.rows.map(({ event: { id }, gap }) => [id, gap])).toEqual([
    ['e1', 0],
    ['e2', 90_000],
  ]);
  expect(drawing.rows[0]?.cells[1]).toBe(null);
  expect(drawing.rows[1]?.cells.map((cell) => cell?.state)).toEqual(['held', 'delivered']);
  expect(drawing.rows[1]?.cells[1]?.settledAt).toBe(START + 90_140);
});

test('what is held is joined with what goes first, in its lane', () => {
  const drawing = draw({ key: 'k', items: [stuck, held], next: null, may_lag: false }, START + 100_000);
  expect(drawing.holds).toEqual([{ lane: 0, from: 1, to: 0 }]);
});

test('what holds it may be on another page: then no line is drawn', () => {
  expect(draw({ key: 'k', items: [held], next: null, may_lag: false }, START + 100_000).holds).toEqual([]);
});

test('the axis ends now where something waits, and with the last answer where nothing does', () => {
  expect(draw({ key: 'k', items: [stuck], next: null, may_lag: false }, START + 500_000).to).toBe(START + 500_000);
  const over = event('e3', 0, [{ id: 'd', destination: 'crm', state: 'delivered', attempts: 1 }], [
    { delivery_id: 'd', destination: 'crm', actions: [], attempts: [{ started_at: at(10), duration_ms: 20 }] },
  ]);
  expect(draw({ key: 'k', items: [over], next: null, may_lag: false }, START + 500_000).to).toBe(START + 30);
});
