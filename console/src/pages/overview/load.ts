/** All that the overview shows, asked for at once: its panels are of one moment and one range. */
import { get } from '../../api/client';
import type { Alert, Destination, Source, Statistics, Status } from '../../api/places';
import type { Group, Page } from '../../api/types';
import { asked, rangeOf, type Range } from '../../lib/range';

export interface Told {
  range: Range;
  /** Of which source alone; null: of all. */
  source: string | null;
  /** When it was asked for, in milliseconds. */
  at: number;
  status: Status;
  destinations: Destination[];
  sources: Source[];
  alerts: Alert[];
  /** What is dead, by cause. */
  causes: Group[];
  /** Step by step: of all, and by destination. */
  flow: Statistics;
  flowOf: Statistics;
  /** One step for all of it: latencies, and what came by source. */
  whole: Statistics;
  wholeOf: Statistics;
  came: Statistics;
}

const CAUSES = 200;

export async function load(params: URLSearchParams, signal: AbortSignal): Promise<Told> {
  const at = Date.now();
  const range = rangeOf(params, at);
  const source = params.get('source');
  const ask = (series: string, whole: boolean, by?: 'source' | 'destination'): Promise<Statistics> =>
    get('statistics', { series, ...asked(range, whole), source, by }, signal);
  const [status, destinations, sources, alerts, causes, flow, flowOf, whole, wholeOf, came] = await Promise.all([
    get<Status>('status', {}, signal),
    get<Page<Destination>>('destinations', {}, signal),
    get<Page<Source>>('sources', {}, signal),
    get<Page<Alert>>('alerts', {}, signal),
    get<Page<Group>>('dead-letters/groups', { limit: CAUSES }, signal),
    ask('accepted,delivered,failed_attempts,dead,latency', false),
    ask('delivered,failed_attempts,dead', false, 'destination'),
    ask('latency', true),
    ask('latency', true, 'destination'),
    ask('accepted,duplicate,refused,quarantined', true, 'source'),
  ]);
  return { range, source, at, status, destinations: destinations.items, sources: sources.items, alerts: alerts.items, causes: causes.items, flow, flowOf, whole, wholeOf, came };
}
