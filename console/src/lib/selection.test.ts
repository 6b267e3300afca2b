import { expect, test } from 'vitest';
import { Selection } from './selection.svelte';

const SHOWN = ['a', 'b', 'c'];

test('one is picked and let go', () => {
  const selection = new Selection();
  selection.toggle('b', SHOWN);
  expect([selection.has('b'), selection.has('a'), selection.empty]).toEqual([true, false, false]);
  selection.toggle('b', SHOWN);
  expect(selection.empty).toBe(true);
});

test('all that match are more than all that are shown; letting one go leaves the others that are shown', () => {
  const selection = new Selection();
  selection.selectAll();
  expect([selection.all, selection.has('not shown')]).toEqual([true, true]);
  selection.toggle('b', SHOWN);
  expect([selection.all, [...selection.ids], selection.has('not shown')]).toEqual([false, ['a', 'c'], false]);
});

test('the box at the head picks what is shown, then lets it go', () => {
  const selection = new Selection();
  selection.toggle('a', SHOWN);
  selection.toggleShown(SHOWN);
  expect([...selection.ids]).toEqual(SHOWN);
  selection.toggleShown(SHOWN);
  expect(selection.empty).toBe(true);
});
