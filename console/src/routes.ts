/** The pages and their addresses. The gateway serves the console for the first part of each: edges/operators/console.py. */

export type PageName =
  | 'overview'
  | 'dead-letters'
  | 'events'
  | 'event'
  | 'conversations'
  | 'conversation'
  | 'deliveries'
  | 'destinations'
  | 'destination'
  | 'sources'
  | 'source'
  | 'jobs'
  | 'job'
  | 'audit'
  | 'settings'
  | 'login'
  | 'missing';

export interface Route {
  page: PageName;
  /** What stands behind the first part of the path: an id, a name, a key. */
  name: string;
}

interface NavEntry {
  page: PageName;
  path: string;
  label: string;
  /** The second key, after `g`. */
  key: string;
}

export const NAV: readonly NavEntry[] = [
  { page: 'overview', path: '/', label: 'Overview', key: 'o' },
  { page: 'dead-letters', path: '/dead-letters', label: 'Dead letters', key: 'd' },
  { page: 'events', path: '/events', label: 'Events', key: 'e' },
  { page: 'conversations', path: '/conversations', label: 'Conversations', key: 'c' },
  { page: 'destinations', path: '/destinations', label: 'Destinations', key: 't' },
  { page: 'sources', path: '/sources', label: 'Sources', key: 's' },
  { page: 'jobs', path: '/jobs', label: 'Jobs', key: 'j' },
  { page: 'audit', path: '/audit', label: 'Audit', key: 'a' },
  { page: 'settings', path: '/settings', label: 'Settings', key: ',' },
];

const LISTS: Record<string, PageName> = {
  '': 'overview',
  'dead-letters': 'dead-letters',
  events: 'events',
  conversations: 'conversations',
  // No entry of the navigation: where numbers lead.
  deliveries: 'deliveries',
  destinations: 'destinations',
  sources: 'sources',
  jobs: 'jobs',
  audit: 'audit',
  settings: 'settings',
  login: 'login',
};

const ONES: Record<string, PageName> = {
  events: 'event',
  conversations: 'conversation',
  destinations: 'destination',
  sources: 'source',
  jobs: 'job',
  settings: 'settings',
};

/** The first parts of paths that are pages. */
export const FIRST_PARTS: readonly string[] = Object.keys(LISTS);

export function match(pathname: string): Route {
  const [first = '', ...rest] = pathname.replace(/^\//, '').split('/');
  const name = decode(rest.join('/'));
  const pages = name === '' ? LISTS : ONES;
  // An object has more names than those it was given: `constructor` is one.
  return { page: (Object.hasOwn(pages, first) && pages[first]) || 'missing', name };
}

/** The entry of the navigation that a page belongs to. */
export function section(page: PageName): PageName {
  const whole: Partial<Record<PageName, PageName>> = {
    event: 'events',
    conversation: 'conversations',
    destination: 'destinations',
    source: 'sources',
    job: 'jobs',
  };
  return whole[page] ?? page;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const eventPath = (id: string): string => `/events/${id}`;
export const conversationPath = (key: string): string => `/conversations/${encodeURIComponent(key)}`;
export const destinationPath = (name: string): string => `/destinations/${encodeURIComponent(name)}`;
export const sourcePath = (name: string): string => `/sources/${encodeURIComponent(name)}`;
export const jobPath = (id: string): string => `/jobs/${id}`;
