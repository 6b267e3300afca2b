import { expect, test } from 'vitest';
import { Keys } from './keys.svelte';

function pressed(): { keys: Keys; did: string[]; run: (name: string) => () => void } {
  const did: string[] = [];
  return { keys: new Keys(), did, run: (name) => () => did.push(name) };
}

test('two keys one after the other are one', () => {
  const { keys, did, run } = pressed();
  keys.bind([
    { keys: 'g d', label: '', run: run('dead letters') },
    { keys: 'd', label: '', run: run('discard') },
  ]);
  expect([keys.press('g', 0), keys.press('d', 500)]).toEqual([true, true]);
  keys.press('d', 600);
  expect(did).toEqual(['dead letters', 'discard']);
});

test('what comes too late is a key of its own', () => {
  const { keys, did, run } = pressed();
  keys.bind([
    { keys: 'g d', label: '', run: run('dead letters') },
    { keys: 'd', label: '', run: run('discard') },
  ]);
  keys.press('g', 0);
  keys.press('d', 5000);
  expect(did).toEqual(['discard']);
});

test('a page goes before the frame, for as long as it is there', () => {
  const { keys, did, run } = pressed();
  keys.bind([{ keys: 'r', label: 'frame', run: run('frame') }]);
  const leave = keys.bind([{ keys: 'r', label: 'page', run: run('page') }]);
  expect(keys.all.map(({ label }) => label)).toEqual(['page']);
  keys.press('r', 0);
  leave();
  keys.press('r', 1);
  expect(did).toEqual(['page', 'frame']);
});

test('a key that means nothing is left to the browser', () => {
  const { keys } = pressed();
  expect(keys.press('q', 0)).toBe(false);
});
