import { beforeEach, expect, test, vi } from 'vitest';
import { router } from './router.svelte';
import { who } from './session.svelte';

const SESSION = { authenticated: true, required: true, user: 'operator', role: 'view', scopes: ['view'], oidc: false, version: '1', console: { name: 'production', colour: 'red' } };

function answering(session: object): string[] {
  const asked: string[] = [];
  vi.stubGlobal('fetch', async (url: string, init: { method?: string } = {}) => {
    asked.push(`${init.method ?? 'GET'} ${url}`);
    return url.endsWith('/session') ? Response.json(session) : new Response(null, { status: 503 });
  });
  return asked;
}

beforeEach(() => {
  sessionStorage.clear();
  router.go('/events?key=k');
});

test('who is not known is asked, and afterwards is where he was going', async () => {
  answering({ ...SESSION, authenticated: false, scopes: [] });
  await who.load();
  expect(router.here).toBe('/login?next=%2Fevents%3Fkey%3Dk');
  answering(SESSION);
  await who.logIn('operator', 'secret');
  expect(router.here).toBe('/events?key=k');
});

test.each(['https://evil.example/', '//evil.example', 'javascript:alert(1)', '/\\evil.example'])('"%s" is nowhere to go after logging in', async (next) => {
  answering(SESSION);
  router.go(`/login?next=${encodeURIComponent(next)}`);
  await who.logIn('operator', 'secret');
  expect(location.host).toBe(new URL(location.href).host);
  expect(['/', '/evil.example']).toContain(router.here);
});

test('the way by the identity provider leads back as well', async () => {
  answering(SESSION);
  router.go('/login?next=%2Fevents%3Fkey%3Dk');
  who.remember();
  router.go('/');
  await who.load();
  expect(router.here).toBe('/events?key=k');
});

test('a scope that is not there is not offered, and an odd colour is grey', async () => {
  answering({ ...SESSION, console: { name: null, colour: 'url(x)' } });
  await who.load();
  expect([who.may('view'), who.may('replay'), who.colour, who.place]).toEqual([true, false, 'grey', '']);
});
