/** Jobs in words, and as links to what they are of. */
import type { Job } from '../api/types';
import { link } from './filters';

export const OVER: readonly string[] = ['done', 'cancelled', 'failed'];

export const gone = (job: Job): number => job.done + job.failed + job.skipped;

/** The list of what a job is of, as it is now: those that it has replayed are not dead any more. */
export function listOf(job: Job): string {
  const { state = 'dead', ...rest } = job.filter;
  const page = state === 'dead' ? '/dead-letters' : '/deliveries';
  return link(page, state === 'dead' ? { ...rest, rows: 'all' } : { state, ...rest });
}

/** "dead, destination crm, reason exhausted". */
export function filterInWords(job: Job): string {
  const { state = 'dead', ...rest } = job.filter;
  return [state, ...Object.entries(rest).map(([name, value]) => `${name} ${value}`)].join(', ');
}

/** How many it does in a second: over all of its time so far. null: it has not begun. */
export function pace(job: Job, now: number): number | null {
  if (job.started_at === null) return null;
  const seconds = ((job.ended_at === null ? now : Date.parse(job.ended_at)) - Date.parse(job.started_at)) / 1000;
  return seconds > 0 ? gone(job) / seconds : null;
}

/** What a person may do with it now. */
export function actions(job: Job): ('pause' | 'resume' | 'cancel')[] {
  if (job.state === 'running') return ['pause', 'cancel'];
  if (job.state === 'paused' || job.state === 'failed') return ['resume', 'cancel'];
  return [];
}
