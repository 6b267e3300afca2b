/** Numbers, ids and states in words. */

const GROUPS = new Intl.NumberFormat('en-US');

/** 1204 is "1,204". */
export function count(value: number): string {
  return GROUPS.format(value);
}

/** "1 delivery", "1,204 deliveries". */
export function many(value: number, one: string, several = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : several}`;
}

/** "812 B", "1.1 KB", "3.4 MB". */
export function bytes(value: number): string {
  if (value < 1000) return `${value} B`;
  if (value < 1_000_000) return `${(value / 1000).toFixed(1)} KB`;
  return `${(value / 1_000_000).toFixed(1)} MB`;
}

/** What of an id a person reads out: its last eight characters. They are random, the first are the time. */
export function shortId(id: string): string {
  return id.slice(-8);
}

const WHOLE_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const SHORT_ID = /^[0-9a-f]{8}$/i;
const BEGINNING = /^[0-9a-f]{8}-[0-9a-f-]+$/i;

/** Whether a search may mean an id: whole, its end, or its beginning. */
export function mayBeId(text: string): boolean {
  return WHOLE_ID.test(text) || SHORT_ID.test(text) || BEGINNING.test(text);
}

const WAITS: Record<string, string> = {
  held: 'another of its key goes first',
  gateway: 'no process delivers',
  pause: 'its destination is paused',
  circuit: 'its destination is down: the circuit is open',
  backoff: 'waits after a failed attempt',
  retry_after: 'the destination asked for this time',
  replay: 'its turn in a replay at a rate',
  time: 'its due time',
  rate: 'the destination gets so many a second',
  room: 'as many are under way as the destination takes',
};

/** Why a delivery is not being tried. */
export function waitsFor(word: string): string {
  return WAITS[word] ?? word;
}

/** How a delivery stands, in one word for its look: its state, or why it waits where that has a look of its own. */
export function standing(delivery: { state: string; waits_for?: string | null }): string {
  if (delivery.waits_for === 'held') return 'held';
  if (delivery.waits_for === 'pause') return 'paused';
  return delivery.state;
}

const REASONS: Record<string, string> = {
  exhausted: 'no attempt or no time is left',
  rejected: 'the destination said never',
  expired: 'it is of no use any more',
  malformed: 'the request cannot be read',
  crashed: 'the process died on it, again and again',
};

/** What a reason for `dead` means. */
export function reasonMeans(word: string): string {
  return REASONS[word] ?? word;
}

/** A destination's name; quarantined requests have none. */
export function destinationName(name: string | null): string {
  return name ?? 'quarantine';
}
