/** The rows of /api/v1, as docs/cli.md and the API's own description have them. Times are RFC 3339, ids are UUIDs. */

export type Time = string;
export type DeliveryState = 'scheduled' | 'leased' | 'delivered' | 'dead' | 'discarded';
export type State = DeliveryState | 'held' | 'paused' | 'open' | 'half_open' | 'closed';
export type Reason = 'exhausted' | 'rejected' | 'expired' | 'malformed' | 'crashed';

export interface Page<Row> {
  items: Row[];
  next: string | null;
  /** A search that ended early: how far back it came. */
  searched_to?: Time | null;
}

export interface EventDelivery {
  id: string;
  destination: string | null;
  state: DeliveryState;
  attempts: number;
  skipped: boolean;
  reason: Reason | null;
  due_at: Time | null;
  waits_for: string | null;
  held_by: string | null;
  expires_at: Time | null;
  replaced_by: string | null;
}

export interface Edit {
  event_id: string;
  parent: string;
  at: Time;
  by: string;
  why: string | null;
}

export interface EventRow {
  id: string;
  source: string;
  type: string | null;
  key: string | null;
  dedup: string | null;
  received_at: Time;
  occurred_at: Time | null;
  size: number;
  origin: 'webhook' | 'replay';
  parent: string | null;
  redeliveries: number;
  made_by: Edit | null;
  edits: Edit[];
  deliveries: EventDelivery[];
}

export interface Attempt {
  number: number;
  round: number;
  started_at: Time;
  duration_ms: number | null;
  outcome: 'success' | 'retry' | 'reject' | 'lost' | 'crashed' | 'interrupted';
  status: number | null;
  error: string | null;
  answer: string | null;
  frames: string[] | null;
}

export interface Action {
  action: 'replay' | 'discard' | 'expedite';
  at: Time;
  by: string;
  why: string | null;
}

export interface History {
  delivery_id: string;
  destination: string | null;
  attempts: Attempt[];
  actions: Action[];
}

export interface EventPage extends EventRow {
  headers: [string, string][];
  content_type?: string | null;
  body_size?: number;
  history: History[];
  archived_in?: string | null;
}

export interface Body {
  text: string | null;
  base64: string | null;
  masked: boolean;
}

export interface DeliveryRow {
  id: string;
  event_id: string;
  source: string;
  destination: string | null;
  type: string | null;
  key: string | null;
  state: DeliveryState;
  reason: Reason | null;
  attempts: number;
  last_status: number | null;
  last_error: string | null;
  received_at: Time;
  dead_at: Time | null;
  skipped: boolean;
  replaced_by: string | null;
  due_at?: Time | null;
  waits_for?: string | null;
  held_by?: string | null;
  expires_at?: Time | null;
}

export interface Group {
  destination: string | null;
  reason: Reason | null;
  status: number | null;
  error: string | null;
  count: number;
  keys: number;
  first_at: Time;
  last_at: Time;
  sample: string[];
}

export interface ConversationEvent extends EventRow {
  history?: History[];
}

export interface Conversation {
  key: string;
  items: ConversationEvent[];
  next: string | null;
}

export interface ActionResult {
  id: string;
  event_id: string | null;
  state: DeliveryState | null;
  error: string | null;
}

export type Filter = Record<string, string>;

export interface Job {
  id: string;
  action: 'replay' | 'discard';
  filter: Filter;
  rate: number | null;
  why: string | null;
  by: string;
  state: 'running' | 'paused' | 'done' | 'cancelled' | 'failed';
  state_why: string | null;
  total: number;
  done: number;
  failed: number;
  skipped: number;
  created_at: Time;
  started_at: Time | null;
  ended_at: Time | null;
  eta_s: number | null;
  errors: { id: string; error: string }[];
  paused_by: string | null;
  /** Destinations that take no more for now. */
  waits_for: string[];
}

export interface JobPreview {
  count: number;
  exact: boolean;
  destinations: Record<string, number>;
  keys: number;
  oldest_at: Time | null;
  newest_at: Time | null;
  sample: DeliveryRow[];
}

export interface ReplayPreview {
  would: { destination: string; lane: string | null; changed: boolean }[];
  type?: string | null;
  key?: string | null;
  diff?: string[];
}

export interface Session {
  authenticated: boolean;
  required: boolean;
  user: string | null;
  role: 'view' | 'replay' | 'admin' | null;
  scopes: string[];
  oidc: boolean;
  version: string;
  console: { name: string | null; colour: string | null };
}

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
