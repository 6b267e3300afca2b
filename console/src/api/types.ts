/** The rows of /api/v1 by the names that the pages use. They are made of the API's own description: `make console-types`. */
import type { components } from './openapi';

type Schemas = components['schemas'];

/** RFC 3339. */
export type Time = string;

export type EventRow = Schemas['Event'];
export type EventDelivery = Schemas['DeliveryOfEvent'];
export type DeliveryState = EventDelivery['state'];
export type EventPage = Schemas['EventDetail'];
export type Edit = Schemas['Edit'];
export type Attempt = Schemas['Attempt'];
export type Action = Schemas['Action'];
export type History = Schemas['DeliveryHistory'];
export type Body = Schemas['Body'];
export type DeliveryRow = Schemas['Delivery'];
export type Group = Schemas['DeadGroup'];
export type Groups = Schemas['DeadGroups'];
export type SentRequest = Schemas['SentRequest'];
export type Conversation = Schemas['Conversation'];
export type ConversationEvent = Schemas['EventWithHistory'];
export type ActionResult = Schemas['Result'];
export type ActionResults = Schemas['Results'];
export type ReplayPreview = Schemas['ReplayPlan'];
export type Job = Schemas['Job'];
export type JobPreview = Schemas['JobSurvey'];

/** A page of a list. */
export interface Page<Row> {
  items: Row[];
  next?: string | null;
  /** A search that ended early: how far back it came. */
  searched_to?: Time | null;
  /** What came or changed a moment ago may be missing. */
  may_lag?: boolean;
}

export type Session = Schemas['Session'];
export type AuditEntry = Schemas['AuditEntry'];

/** What the stream tells of, as `longstop tail --json` does. */
export interface Activity {
  at: Time;
  what: string;
  event_id: string | null;
  delivery_id: string | null;
  source: string | null;
  destination: string | null;
  type: string | null;
  key: string | null;
  about: string | null;
}
