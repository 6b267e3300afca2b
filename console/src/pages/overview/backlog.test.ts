import { flushSync, mount, unmount } from 'svelte';
import { afterEach, expect, test } from 'vitest';
import type { Statistics, Status } from '../../api/places';
import Backlog from './Backlog.svelte';
import type { Told } from './load';

const NONE = { series: [] } as unknown as Statistics;

let mounted: object[] = [];
afterEach(() => {
  for (const each of mounted) void unmount(each);
  mounted = [];
});

function shown(scheduled: number, leased: number, source: string | null = null): HTMLElement {
  const status = { backlog: scheduled + leased, oldest_waiting_at: null, counts: { scheduled, leased } } as unknown as Status;
  const all = { source, whole: NONE, flow: NONE } as unknown as Told;
  const target = document.createElement('div');
  mounted.push(mount(Backlog, { target, props: { all, status } }));
  flushSync();
  return target;
}

const links = (target: HTMLElement): (string | null)[][] =>
  [...target.querySelectorAll('a')].map((each) => [each.textContent, each.getAttribute('href')]);

test('each number of what is not done with is that of the list it leads to', () => {
  expect(links(shown(7, 2))).toEqual([
    ['7', '/deliveries?state=scheduled&order=oldest'],
    ['2', '/deliveries?state=leased&order=oldest'],
  ]);
  expect(links(shown(7, 0))).toHaveLength(1);
});

test('where a source is chosen it says that what waits is of all', () => {
  expect(shown(7, 0).textContent).toContain('backlog 7');
  expect(shown(7, 0, 'shop').textContent).toContain('backlog, all sources 7');
});
