import { expect, test } from 'vitest';
import { lines, matching } from './configuration';

const TOLD = {
  server: { port: 8080, host: '127.0.0.1', url: null },
  sources: [{ name: 'shop', kind: 'generic', secrets: ['(not shown)'], allow: [] }],
  routes: [{ source: 'shop', to: ['crm', 'billing'] }],
};

test('settings are lines by their path in the file, and what is not set is none', () => {
  expect(lines(TOLD)).toEqual([
    { path: 'server.port', value: '8080' },
    { path: 'server.host', value: '127.0.0.1' },
    { path: 'sources.shop.name', value: 'shop' },
    { path: 'sources.shop.kind', value: 'generic' },
    { path: 'sources.shop.secrets', value: '(not shown)' },
    { path: 'routes.1.source', value: 'shop' },
    { path: 'routes.1.to', value: 'crm, billing' },
  ]);
});

test('they are found by path and by value', () => {
  expect(matching(lines(TOLD), 'PORT').map(({ path }) => path)).toEqual(['server.port']);
  expect(matching(lines(TOLD), 'billing')).toHaveLength(1);
});
