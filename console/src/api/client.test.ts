import { expect, test, vi } from 'vitest';
import { get, part, path, post, whenUnauthorised } from './client';
import { Problem } from './problem';

test('a query leaves out what is not asked', () => {
  expect(path('events', { source: 'shop', key: '', cursor: null, limit: 50, unrouted: false })).toBe(
    '/api/v1/events?source=shop&limit=50&unrouted=false',
  );
  expect(path('status')).toBe('/api/v1/status');
  expect(part('a/b?c')).toBe('a%2Fb%3Fc');
});

test('every POST has a key of its own, so that one that is repeated is done once', async () => {
  const seen: string[] = [];
  vi.stubGlobal('fetch', async (_url: string, init: { headers: Record<string, string> }) => {
    seen.push(init.headers['idempotency-key'] ?? '');
    return Response.json({});
  });
  await post('jobs', {});
  await post('jobs', {});
  expect(seen.every((key) => /^[0-9a-f]{32}$/.test(key))).toBe(true);
  expect(new Set(seen).size).toBe(2);
});

test('a problem is told as the gateway tells it', async () => {
  vi.stubGlobal('fetch', async () =>
    Response.json({ title: 'Forbidden', status: 403, detail: 'operator lacks the scope admin', scope: 'admin' }, { status: 403 }),
  );
  const problem = await get('users').catch((thrown: unknown) => thrown);
  expect(problem).toBeInstanceOf(Problem);
  expect(problem).toMatchObject({ forbidden: true, scope: 'admin', detail: 'operator lacks the scope admin' });
});

test('an answer that is no problem+json, and none at all, are problems too', async () => {
  vi.stubGlobal('fetch', async () => new Response('<html>bad gateway</html>', { status: 502, statusText: 'Bad Gateway' }));
  expect(await get('status').catch((thrown: unknown) => thrown)).toMatchObject({ status: 502, title: 'Bad Gateway' });
  vi.stubGlobal('fetch', async () => {
    throw new TypeError('Failed to fetch');
  });
  const thrown = await get('status').catch((each: unknown) => each);
  expect(Problem.from(thrown)).toMatchObject({ status: 0, title: 'The gateway does not answer' });
});

test('a session that is over is noticed wherever it shows', async () => {
  const over = vi.fn();
  whenUnauthorised(over);
  vi.stubGlobal('fetch', async () => Response.json({ title: 'Unauthorized', status: 401 }, { status: 401 }));
  await get('events').catch(() => null);
  expect(over).toHaveBeenCalledOnce();
});
