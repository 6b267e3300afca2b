import { expect, test, vi } from 'vitest';
import { doEach, preview, readRate, startJob, type Asked } from './action';

test.each([
  ['', null],
  ['50', 50],
  [' 0.5 / s', 0.5],
  ['50/s', 50],
  ['0', Number.NaN],
  ['-1', Number.NaN],
  ['fast', Number.NaN],
])('a rate typed as "%s" is %s', (text, rate) => expect(readRate(text)).toBe(rate));

interface Sent {
  url: string;
  body: Record<string, unknown>;
}

function answering(answer: (url: string) => Response): Sent[] {
  const sent: Sent[] = [];
  vi.stubGlobal('fetch', async (url: string, { body }: { body: string }) => {
    sent.push({ url, body: JSON.parse(body) });
    return answer(url);
  });
  return sent;
}

const ASKED: Asked = { action: 'replay', target: { ids: [] }, rate: null, why: 'crm is back' };

test('each is done once, and what cannot be is told with why', async () => {
  const sent = answering((url) =>
    url.includes('bad')
      ? Response.json({ title: 'Conflict', status: 409, detail: 'it is under way' }, { status: 409 })
      : Response.json({ id: 'x', event_id: 'e', state: 'scheduled', error: null }),
  );
  const told: number[] = [];
  const ids = ['a', 'bad', 'c', 'd', 'e', 'f', 'g'];
  const done = await doEach(ASKED, ids, ({ done: n }) => told.push(n));
  expect(sent.map(({ url }) => url)).toEqual(ids.map((id) => `/api/v1/deliveries/${id}/replay`));
  expect(sent[0]?.body).toEqual({ why: 'crm is back' });
  expect(done).toEqual({ done: 6, failed: [{ id: 'bad', error: 'it is under way' }] });
  expect(told.at(-1)).toBe(6);
});

test('a job is counted and started by the same filter, as the gateway takes it', async () => {
  const sent = answering(() => Response.json({}));
  const now = Date.parse('2026-11-28T02:14:30Z');
  const filter = { state: 'dead', status: '503', since: '2h' };
  await preview('replay', filter, now);
  await startJob({ ...ASKED, rate: 50 }, filter, now);
  const asGatewayTakes = { state: 'dead', status: 503, since: '2026-11-28T00:14:00.000Z' };
  expect(sent.map(({ body }) => body)).toEqual([
    { action: 'replay', filter: asGatewayTakes, dry_run: true },
    { action: 'replay', filter: asGatewayTakes, rate: 50, why: 'crm is back' },
  ]);
});
