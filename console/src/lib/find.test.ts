import { expect, test, vi } from 'vitest';
import { find } from './find';

const EVENT = '019ab0c2-7d1e-7000-8000-0123456789ab';
const DELIVERY = '019ab0c2-7d1e-7000-8000-00000000d1d1';

function knowing(known: Record<string, unknown>): void {
  vi.stubGlobal('fetch', async (url: string) => {
    const found = known[url.replace('/api/v1/', '').split('?')[0] ?? ''];
    return found === undefined ? Response.json({ title: 'Not found', status: 404 }, { status: 404 }) : Response.json(found);
  });
}

test('an id leads to its event, whole or by its end, and a delivery to its own', async () => {
  knowing({ [`events/${EVENT}`]: { id: EVENT }, 'events/456789ab': { id: EVENT }, [`deliveries/${DELIVERY}`]: { event_id: EVENT } });
  expect(await find(EVENT)).toBe(`/events/${EVENT}`);
  expect(await find('456789ab')).toBe(`/events/${EVENT}`);
  expect(await find(DELIVERY)).toBe(`/events/${EVENT}`);
});

test('a whole id that nobody has is said to be none', async () => {
  knowing({});
  expect(await find(EVENT)).toBe(null);
});

test('a key leads to its conversation, whatever is in it', async () => {
  knowing({ 'keys/a%2Fb%20c': { key: 'a/b c', items: [{}], next: null } });
  expect(await find('a/b c')).toBe('/conversations/a%2Fb%20c');
});

test('anything else is looked for in the bodies, eight digits too', async () => {
  knowing({ 'keys/lost%20card': { key: 'lost card', items: [], next: null } });
  expect(await find('lost card')).toBe('/events?contains=lost+card');
  expect(await find('20261128')).toBe('/events?contains=20261128');
});
