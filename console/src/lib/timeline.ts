/** One event's history in the order of time: what was received, every attempt, what people did, what it waits for. */
import type { Action, Attempt, Edit, EventDelivery, EventPage } from '../api/types';
import { parse } from './time';

export type Entry = { id: string; at: number; destination: string | null } & (
  | { kind: 'received' }
  | { kind: 'attempt'; attempt: Attempt }
  | { kind: 'action'; action: Action }
  | { kind: 'edit'; edit: Edit }
  | { kind: 'waits'; delivery: EventDelivery }
);

export function timeline(event: EventPage): Entry[] {
  const entries: Entry[] = [{ id: 'received', at: parse(event.received_at), destination: null, kind: 'received' }];
  for (const { delivery_id, destination, attempts, actions } of event.history) {
    for (const attempt of attempts) {
      entries.push({ id: `${delivery_id}/${attempt.number}`, at: parse(attempt.started_at), destination, kind: 'attempt', attempt });
    }
    actions.forEach((action, index) => {
      entries.push({ id: `${delivery_id}/action/${index}`, at: parse(action.at), destination, kind: 'action', action });
    });
  }
  for (const edit of event.edits) {
    entries.push({ id: `edit/${edit.event_id}`, at: parse(edit.at), destination: null, kind: 'edit', edit });
  }
  entries.sort((one, other) => one.at - other.at);
  return [...entries, ...standing(event.deliveries)];
}

/** What stands at the end: what each delivery waits for. */
function standing(deliveries: readonly EventDelivery[]): Entry[] {
  return deliveries.flatMap((delivery): Entry[] => {
    const { id, destination } = delivery;
    if (delivery.state !== 'scheduled') return [];
    return [{ id: `${id}/waits`, at: delivery.due_at ? parse(delivery.due_at) : Number.NaN, destination, kind: 'waits', delivery }];
  });
}

/** The deliveries that a replay of an event means: its dead ones, or else all that have ended. As `longstop replay` does. */
export function replayable(deliveries: readonly EventDelivery[]): string[] {
  const dead = deliveries.filter(({ state }) => state === 'dead');
  const ended = deliveries.filter(({ state }) => state === 'delivered' || state === 'discarded');
  return (dead.length ? dead : ended).map(({ id }) => id);
}

/** The deliveries that a discard means: the dead ones, or else those that wait. */
export function discardable(deliveries: readonly EventDelivery[]): string[] {
  const dead = deliveries.filter(({ state }) => state === 'dead');
  const waiting = deliveries.filter(({ state }) => state === 'scheduled');
  return (dead.length ? dead : waiting).map(({ id }) => id);
}
