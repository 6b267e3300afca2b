/** What a person does to many deliveries at once: those picked, or all that match a filter. */
import { post } from '../api/client';
import type { ActionResult, Job, JobPreview } from '../api/types';
import { asQuery, type Filters } from './filters';

export type Action = 'replay' | 'discard';

export type Target = { ids: readonly string[] } | { filter: Filters };

export interface Asked {
  action: Action;
  target: Target;
  rate: number | null;
  why: string;
}

export async function preview(action: Action, filter: Filters, now: number, signal?: AbortSignal): Promise<JobPreview> {
  return await post<JobPreview>('jobs', { action, filter: jobFilter(filter, now), dry_run: true }, signal);
}

export async function startJob(asked: Asked, filter: Filters, now: number): Promise<Job> {
  const { action, rate, why } = asked;
  return await post<Job>('jobs', { action, filter: jobFilter(filter, now), rate, why: why || null });
}

/** The filters of the address as a job takes them: a status is a number there. */
function jobFilter(filter: Filters, now: number): Record<string, unknown> {
  const made: Record<string, unknown> = asQuery(filter, now);
  if (filter['status']) made['status'] = Number(filter['status']);
  return made;
}

export interface Progress {
  done: number;
  failed: { id: string; error: string }[];
}

const AT_ONCE = 4;

/** Does it to each of some deliveries, a few at once, and tells how far it is. */
export async function doEach(asked: Asked, ids: readonly string[], told: (progress: Progress) => void): Promise<Progress> {
  const progress: Progress = { done: 0, failed: [] };
  const waiting = [...ids];
  const worker = async (): Promise<void> => {
    for (let id = waiting.shift(); id !== undefined; id = waiting.shift()) {
      const error = await doOne(asked, id);
      if (error === null) progress.done += 1;
      else progress.failed.push({ id, error });
      told({ done: progress.done, failed: [...progress.failed] });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return progress;
}

async function doOne({ action, why }: Asked, id: string): Promise<string | null> {
  try {
    return (await post<ActionResult>(`deliveries/${id}/${action}`, { why: why || null })).error;
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown);
  }
}

/** A rate as it is typed: "50", "50/s", "". NaN where it is none. */
export function readRate(text: string): number | null {
  const trimmed = text.trim().replace(/\s*\/\s*s$/, '');
  if (trimmed === '') return null;
  const rate = Number(trimmed);
  return rate > 0 && Number.isFinite(rate) ? rate : Number.NaN;
}
