/** A conversation as it is drawn: rows in the order of time, lanes for destinations, and what is held by what. */
import type { Conversation, ConversationEvent, EventDelivery, History } from '../api/types';
import { parse } from './time';
import { destinationName, standing } from './words';

export interface Cell {
  delivery: EventDelivery;
  /** `held` and `paused` beside the states of a delivery. */
  state: string;
  tries: number;
  /** When its last attempt ended; null: it was not tried, or is being tried. */
  settledAt: number | null;
}

export interface Row {
  event: ConversationEvent;
  at: number;
  /** The time since the row before. */
  gap: number;
  cells: (Cell | null)[];
}

/** From a delivery that is held (by its row) to the one that goes first, in one lane. */
export interface Hold {
  lane: number;
  from: number;
  to: number;
}

export interface Drawing {
  lanes: string[];
  rows: Row[];
  holds: Hold[];
  /** From the first to the last thing that is drawn. */
  from: number;
  to: number;
}

export function draw(conversation: Conversation, now: number): Drawing {
  const events = [...conversation.items].sort((one, other) => parse(one.received_at) - parse(other.received_at));
  const lanes = lanesOf(events);
  const rows = events.map((event, index): Row => {
    const at = parse(event.received_at);
    const before = events[index - 1];
    return { event, at, gap: before ? at - parse(before.received_at) : 0, cells: lanes.map((lane) => cell(event, lane)) };
  });
  const from = rows[0]?.at ?? now;
  return { lanes, rows, holds: holds(rows), from, to: Math.max(from + 1, ...rows.map((row) => lastOf(row, now))) };
}

function lanesOf(events: readonly ConversationEvent[]): string[] {
  return [...new Set(events.flatMap(({ deliveries }) => deliveries.map(({ destination }) => destinationName(destination))))];
}

function cell(event: ConversationEvent, lane: string): Cell | null {
  const delivery = event.deliveries.find(({ destination }) => destinationName(destination) === lane);
  if (!delivery) return null;
  const history = event.history?.find(({ delivery_id }) => delivery_id === delivery.id);
  return { delivery, state: standing(delivery), tries: delivery.attempts, settledAt: settledAt(history) };
}

function settledAt(history: History | undefined): number | null {
  const last = history?.attempts.at(-1);
  return last ? parse(last.started_at) + (last.duration_ms ?? 0) : null;
}

function lastOf(row: Row, now: number): number {
  const ends = row.cells.map((each) => {
    if (each === null) return row.at;
    const over = each.state === 'delivered' || each.state === 'dead' || each.state === 'discarded';
    return over ? (each.settledAt ?? row.at) : now;
  });
  return Math.max(row.at, ...ends);
}

function holds(rows: readonly Row[]): Hold[] {
  const found: Hold[] = [];
  rows.forEach((row, from) => {
    row.cells.forEach((each, lane) => {
      const by = each?.delivery.held_by;
      if (!by) return;
      const to = rows.findIndex((other) => other.cells[lane]?.delivery.id === by);
      if (to >= 0) found.push({ lane, from, to });
    });
  });
  return found;
}
