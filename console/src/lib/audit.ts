/** What is in the audit log, as links: to what an entry was about. */
import type { AuditEntry } from '../api/types';
import type { FilterField } from './filters';
import { conversationPath, destinationPath, eventPath, jobPath, sourcePath } from '../routes';

export const ACTIONS: readonly string[] = [
  'delivery.replay',
  'delivery.discard',
  'delivery.expedite',
  'event.edit',
  'body.read',
  'destination.pause',
  'destination.resume',
  'destination.test',
  'source.test',
  'source.release',
  'job.create',
  'job.pause',
  'job.resume',
  'job.cancel',
  'purge',
  'backup',
  'login',
  'login.failed',
  'logout',
  'user.add',
  'user.password',
  'user.role',
  'user.disable',
  'user.enable',
  'user.remove',
  'token.create',
  'token.revoke',
  'session.revoke',
  'settings.read',
  'audit.export',
  'alert.silence',
  'alert.test',
];

export const AUDIT_FILTERS: readonly FilterField[] = [
  { name: 'by', label: 'by' },
  { name: 'action', label: 'action', values: ACTIONS },
  { name: 'since', label: 'since', example: '2h or 2026-11-28T02:00Z' },
  { name: 'until', label: 'until', example: '30min or 2026-11-28T03:00Z' },
];

const PATHS: Record<string, (id: string) => string> = {
  event: eventPath,
  key: conversationPath,
  destination: destinationPath,
  source: sourcePath,
  job: jobPath,
  user: () => '/settings?tab=users',
  token: () => '/settings?tab=tokens',
  session: () => '/settings?tab=sessions',
};

/** The page of what an entry was about; null: it has none, as a delivery without its event. */
export function targetPath({ target, details }: AuditEntry): string | null {
  const event = details?.['event'] ?? details?.['event_id'];
  if (target.kind === 'delivery' && typeof event === 'string') return `${eventPath(event)}?delivery=${target.id}`;
  // An object has more names than those it was given.
  return Object.hasOwn(PATHS, target.kind) ? (PATHS[target.kind]?.(target.id) ?? null) : null;
}

/** An id by its end, a name whole. */
export function targetName({ target }: AuditEntry): string {
  return /^[0-9a-f]{8}-[0-9a-f-]{27}$/.test(target.id) ? target.id.slice(-8) : target.id;
}

/** What else was noted: "rate 20, state dead". */
export function detailsInWords(entry: AuditEntry): string {
  return Object.entries(entry.details ?? {})
    .filter(([, value]) => value !== null && value !== '')
    .map(([name, value]) => `${name} ${typeof value === 'object' ? JSON.stringify(value) : String(value)}`)
    .join(', ');
}
