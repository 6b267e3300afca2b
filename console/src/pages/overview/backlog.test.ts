import { flushSync, mount, unmount } from 'svelte';
import { expect, test } from 'vitest';
import type { Statistics, Status } from '../../api/places';
import Backlog from './Backlog.svelte';
import type { Told } from './load';

const NONE = { series: [] } as unknown as Statistics;

function links(scheduled: number, leased: number): (string | null)[][] {
  const status = { backlog: scheduled + leased, oldest_waiting_at: null, counts: { scheduled, leased } } as unknown as Status;
  const target = document.createElement('div');
  const mounted = mount(Backlog, { target, props: { all: { whole: NONE, flow: NONE } as unknown as Told, status } });
  flushSync();
  const found = [...target.querySelectorAll('a')].map((each) => [each.textContent, each.getAttribute('href')]);
  void unmount(mounted);
  return found;
}

test('each number of what is not done with is that of the list it leads to', () => {
  expect(links(7, 2)).toEqual([
    ['7', '/deliveries?state=scheduled&order=oldest'],
    ['2', '/deliveries?state=leased&order=oldest'],
  ]);
  expect(links(7, 0)).toHaveLength(1);
});
