/** Asks /api/v1. Everything that the console does goes through here; a script can do the same. */
import { Problem } from './problem';

export const ROOT = '/api/v1';

export type Query = Record<string, string | number | boolean | null | undefined>;

type OnUnauthorised = () => void;
let onUnauthorised: OnUnauthorised = () => {};

/** Called whenever the API answers 401: the session is over. */
export function whenUnauthorised(run: OnUnauthorised): void {
  onUnauthorised = run;
}

export function path(resource: string, query: Query = {}): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== '') params.set(name, String(value));
  }
  const text = params.toString();
  return `${ROOT}/${resource}${text ? `?${text}` : ''}`;
}

export async function get<T>(resource: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  return await ask<T>('GET', path(resource, query), undefined, signal);
}

/** A POST carries a key of its own, so that one that is sent twice by a bad line is carried out once. */
export async function post<T>(resource: string, body: unknown = {}, signal?: AbortSignal): Promise<T> {
  return await ask<T>('POST', path(resource), body, signal);
}

export async function patch<T>(resource: string, body: unknown): Promise<T> {
  return await ask<T>('PATCH', path(resource), body);
}

export async function remove(resource: string, query: Query = {}): Promise<void> {
  await ask('DELETE', path(resource, query));
}

async function ask<T>(method: string, url: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const headers: Record<string, string> = { accept: 'application/json' };
  if (body !== undefined) headers['content-type'] = 'application/json';
  if (method === 'POST') headers['idempotency-key'] = uniqueKey();
  const answer = await fetch(url, {
    method,
    headers,
    body: body === undefined ? null : JSON.stringify(body),
    signal: signal ?? null,
    credentials: 'same-origin',
    redirect: 'error',
  });
  if (answer.status === 401) onUnauthorised();
  if (!answer.ok) throw await Problem.of(answer);
  if (answer.status === 204) return undefined as T;
  return (await answer.json()) as T;
}

/** `crypto.randomUUID` exists on https and loopback alone. */
function uniqueKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** A part of a path: a key may hold anything, a slash too. */
export function part(text: string): string {
  return encodeURIComponent(text);
}
