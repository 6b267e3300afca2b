/** Where a search leads: to the event of an id, to the conversation of a key, or to the events whose body has the text. */
import { get, part } from '../api/client';
import { Problem } from '../api/problem';
import type { Conversation, DeliveryRow, EventRow } from '../api/types';
import { conversationPath, eventPath } from '../routes';
import { link } from './filters';
import { mayBeId } from './words';

/** An address of the console; null: it is an id, and nothing has it. */
export async function find(sought: string): Promise<string | null> {
  if (mayBeId(sought)) {
    const id = await eventOf(sought);
    if (id !== null) return eventPath(id);
    if (sought.includes('-')) return null;
  }
  const conversation = await unlessMissing(get<Conversation>(`keys/${part(sought)}`, { limit: 1 }));
  if (conversation && conversation.items.length > 0) return conversationPath(sought);
  return link('/events', { contains: sought });
}

async function eventOf(id: string): Promise<string | null> {
  const event = await unlessMissing(get<EventRow>(`events/${part(id)}`));
  if (event) return event.id;
  const delivery = await unlessMissing(get<DeliveryRow>(`deliveries/${part(id)}`));
  return delivery?.event_id ?? null;
}

async function unlessMissing<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked;
  } catch (thrown) {
    if (thrown instanceof Problem && (thrown.missing || thrown.status === 422)) return null;
    throw thrown;
  }
}
