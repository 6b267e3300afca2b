import { expect, test } from 'vitest';
import { inWords, lines, matching } from './configuration';

const TOLD = {
  server: { port: 8080, host: '127.0.0.1', url: null },
  sources: [{ name: 'shop', kind: 'generic', secrets: ['(not shown)'], allow: [] }],
  routes: [{ source: 'shop', to: ['crm', 'billing'] }],
};

test('settings are lines by their path in the file, and what is not set is none', () => {
  expect(lines(TOLD)).toEqual([
    { path: 'server.port', value: '8080' },
    { path: 'server.host', value: '127.0.0.1' },
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

test.each([
  ['dedup_window_ms', 604_800_000, '604800000 (7 d 0 h)'],
  ['max_body_bytes', 10_485_760, '10485760 (10.5 MB)'],
  ['first_ms', 50, '50'],
  ['allow', ['10.0.0.0/8', '::1'], '10.0.0.0/8, ::1'],
])('%s of %s is %s', (name, value, said) => expect(inWords(name, value)).toBe(said));
