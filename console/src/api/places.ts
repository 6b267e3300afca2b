/** The rows of /api/v1 about where things come from and go to, about numbers over time, and about who does what. */
import type { Attempt, DeliveryState, Job, Time } from './types';

export interface Node {
  name: string;
  roles: string[];
  version: string;
  started_at: Time;
  seen_at: Time;
  running: boolean;
}

export interface Circuit {
  opened_at: Time;
  probe_at: Time;
  why: string;
}

export type DestinationState = 'closed' | 'open' | 'half_open' | 'paused';

export interface Destination {
  /** null: requests that could not be read. */
  name: string | null;
  configured: boolean;
  url: string | null;
  handler: string | null;
  ordered: boolean;
  state: DestinationState;
  circuit: Circuit | null;
  paused_at: Time | null;
  paused_by: string | null;
  paused_why: string | null;
  /** `held`: null where there are more than 1,000. */
  counts: Record<DeliveryState, number> & { held: number | null };
  oldest_waiting_at: Time | null;
  next_due_at: Time | null;
  retry: {
    attempts: number | null;
    first_s: number;
    factor: number;
    cap_s: number;
    jitter: string;
    max_age_s: number;
    on_dead: string;
  } | null;
  timeout_s: number | null;
  limits: { concurrency: number; adaptive: boolean; rate_per_s: number | null } | null;
}

export interface DestinationAttempt extends Attempt {
  delivery_id: string;
  event_id: string;
  key: string | null;
  ended_at: Time;
}

export interface DestinationDetail extends Destination {
  recent_attempts: DestinationAttempt[];
}

export interface Source {
  name: string;
  configured: boolean;
  kind: string | null;
  url_path: string;
  url: string | null;
  first_event: string | null;
  verified: string | null;
  to: string[];
  events: number;
  last_event_at: Time | null;
  usual_gap_s: number | null;
  silent: boolean;
  refused: Record<string, number>;
  refused_since: Time | null;
  held: number;
  duplicates: number;
}

export interface SourceDetail extends Source {
  setup: string[];
  settings: Record<string, unknown>;
}

export interface Rejection {
  id: string;
  source: string | null;
  at: Time;
  reason: string;
  status: number;
  problems: string[];
  client: string | null;
  method: string;
  path: string;
  query: string;
  headers: [string, string][];
  body_bytes: number;
  body: string | null;
  asked: string | null;
  nearest: string | null;
}

export interface SourceTest {
  verdict: 'accepted' | 'answered' | 'quarantined' | 'refused';
  verified: boolean;
  would_answer: number;
  type: string | null;
  key: string | null;
  dedup: string | null;
  destinations: string[];
  routes: { to: string[]; when: string | null; matched: boolean }[];
  problems: string[];
}

export interface Status {
  accepting: boolean;
  delivering: boolean;
  ready: boolean;
  why_not: string[];
  counts: Record<DeliveryState | 'events' | 'unrouted', number>;
  backlog: number;
  oldest_waiting_at: Time | null;
  nodes: Node[];
  held_requests: { source: string; requests: number; oldest: Time }[];
}

export interface Quantiles {
  p50: number;
  p99: number;
}

export type Series = 'accepted' | 'duplicate' | 'refused' | 'quarantined' | 'delivered' | 'failed_attempts' | 'dead' | 'latency';

export interface Line {
  name: Series;
  source: string | null;
  destination: string | null;
  points: (number | Quantiles | null)[];
}

export interface Statistics {
  from: Time;
  to: Time;
  step_s: number;
  series: Line[];
}

export interface AuditEntry {
  id: string;
  at: Time;
  by: string;
  by_kind: 'user' | 'token' | 'cli' | 'system';
  action: string;
  target: { kind: string; id: string };
  count: number | null;
  why: string | null;
  from: string | null;
  details: Record<string, unknown> | null;
}

export type Role = 'view' | 'replay' | 'admin';
export type Scope = Role | 'bodies';

export interface User {
  name: string;
  role: Role;
  disabled: boolean;
  signs_in_by: 'password' | 'oidc';
  created_at: Time;
  created_by: string;
  changed_at: Time;
}

export interface Token {
  id: string;
  name: string;
  scopes: Scope[];
  created_at: Time;
  created_by: string;
  expires_at: Time | null;
}

export interface NewToken extends Token {
  /** Shown once. */
  token: string;
}

export interface KeptSession {
  id: string;
  user: string;
  created_at: Time;
  seen_at: Time;
  expires_at: Time;
  address: string | null;
  current: boolean;
}

export interface RunningSettings {
  version: string;
  python: string;
  store: string;
  configuration: Record<string, unknown>;
  warnings: string[];
}

export interface Alert {
  key: string;
  kind: string;
  about: string;
  subject: string;
  severity: string;
  since: Time;
  title: string;
  why: string;
  told_at: Time | null;
  ending: boolean;
  silenced_until: Time | null;
  silenced_by: string | null;
}

export interface Silence {
  kind: string;
  subject: string | null;
  until: Time;
  by: string;
  why: string | null;
  at: Time;
}

export interface WholeJob extends Job {
  including_edited: boolean;
  exact: boolean;
  state_at: Time;
  state_by: string | null;
  /** Destinations that take no more of it now. */
  waits_for: string[];
}
