import { expect, test } from 'vitest';
import { conversationPath, eventPath, match, NAV, section } from './routes';

test.each([
  ['/', 'overview', ''],
  ['/dead-letters', 'dead-letters', ''],
  ['/events/019a', 'event', '019a'],
  ['/conversations/a%2Fb', 'conversation', 'a/b'],
  ['/conversations/a/b', 'conversation', 'a/b'],
  ['/conversations/%E0', 'conversation', '%E0'],
  ['/destinations/crm', 'destination', 'crm'],
  ['/settings/users', 'settings', 'users'],
  ['/nothing', 'missing', ''],
  ['/dead-letters/x', 'missing', 'x'],
  ['//evil.example', 'missing', 'evil.example'],
  ['/constructor', 'missing', ''],
])('%s is %s of "%s"', (path, page, name) => expect(match(path)).toEqual({ page, name }));

test('every entry of the navigation leads to its page, by a key of its own', () => {
  for (const { path, page } of NAV) expect(match(path).page).toBe(page);
  expect(new Set(NAV.map(({ key }) => key)).size).toBe(NAV.length);
  expect(section('event')).toBe('events');
});

test('what a path is made of can be read from it', () => {
  for (const key of ['a/b', 'ü ?#%', '<x>', 'a b']) {
    expect(match(new URL(conversationPath(key), 'http://x').pathname).name).toBe(key);
  }
  expect(match(eventPath('019a')).name).toBe('019a');
});
