/** Filters of a list: in the address as chips say them, and as the API takes them. */
import { since } from './time';

export interface FilterField {
  name: string;
  label: string;
  /** The only values there are. */
  values?: readonly string[];
  /** Where known values may be had: names of sources or destinations. */
  suggest?: 'source' | 'destination';
  /** What an example looks like. */
  example?: string;
}

const SOURCE: FilterField = { name: 'source', label: 'source', suggest: 'source' };
const DESTINATION: FilterField = { name: 'destination', label: 'destination', suggest: 'destination' };
const TYPE: FilterField = { name: 'type', label: 'type' };
const KEY: FilterField = { name: 'key', label: 'key' };
const CONTAINS: FilterField = { name: 'contains', label: 'body contains' };
const SINCE: FilterField = { name: 'since', label: 'since', example: '2h or 2026-11-28T02:00Z' };
const UNTIL: FilterField = { name: 'until', label: 'until', example: '30min or 2026-11-28T03:00Z' };

export const EVENT_FILTERS: readonly FilterField[] = [
  SOURCE,
  TYPE,
  KEY,
  CONTAINS,
  { name: 'unrouted', label: 'unrouted', values: ['true'] },
  SINCE,
  UNTIL,
];

export const DEAD_FILTERS: readonly FilterField[] = [
  DESTINATION,
  SOURCE,
  { name: 'reason', label: 'reason', values: ['exhausted', 'rejected', 'expired', 'malformed', 'crashed'] },
  { name: 'status', label: 'status', example: '503' },
  { name: 'error', label: 'error' },
  TYPE,
  KEY,
  CONTAINS,
  SINCE,
  UNTIL,
];

export const DELIVERY_FILTERS: readonly FilterField[] = [
  { name: 'state', label: 'state', values: ['scheduled', 'leased', 'delivered', 'dead', 'discarded', 'held'] },
  ...DEAD_FILTERS,
];

export type Filters = Record<string, string>;

/** The filters that an address holds, in the order of the fields. */
export function read(params: URLSearchParams, fields: readonly FilterField[]): Filters {
  const found: Filters = {};
  for (const { name } of fields) {
    const value = params.get(name);
    if (value) found[name] = value;
  }
  return found;
}

/** An address's parameters with these filters, and what else stood there. Another filter begins at the first page. */
export function write(params: URLSearchParams, fields: readonly FilterField[], filters: Filters): URLSearchParams {
  const made = new URLSearchParams(params);
  made.delete('cursor');
  for (const { name } of fields) made.delete(name);
  for (const { name } of fields) {
    const value = filters[name];
    if (value) made.set(name, value);
  }
  return made;
}

/** As the API takes them: "2h" becomes the time that was two hours ago. */
export function asQuery(filters: Filters, now: number): Filters {
  const made: Filters = { ...filters };
  for (const name of ['since', 'until']) {
    const value = made[name];
    if (value) made[name] = since(value, now);
  }
  return made;
}

/** The address of a list with these filters. */
export function link(path: string, filters: Record<string, string | number | null | undefined>): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(filters)) {
    if (value !== null && value !== undefined && value !== '') params.set(name, String(value));
  }
  const text = params.toString();
  return text ? `${path}?${text}` : path;
}
