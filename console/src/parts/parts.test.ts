import { createRawSnippet, flushSync, mount, unmount, type Component } from 'svelte';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Problem } from '../api/problem';
import { EVENT_FILTERS } from '../lib/filters';
import { keys } from '../lib/keys.svelte';
import { preferences } from '../lib/preferences.svelte';
import { Selection } from '../lib/selection.svelte';
import { router } from '../router.svelte';
import { who } from '../session.svelte';
import ActionPanel from './ActionPanel.svelte';
import Chips from './Chips.svelte';
import Id from './Id.svelte';
import Pages from './Pages.svelte';
import State from './State.svelte';
import Table from './Table.svelte';
import Time from './Time.svelte';
import Trouble from './Trouble.svelte';

let mounted: object[] = [];

function show<P extends Record<string, any>>(component: Component<P>, props: P): HTMLElement {
  const target = document.createElement('div');
  document.body.append(target);
  mounted.push(mount(component, { target, props }));
  flushSync();
  return target;
}

const settled = async (): Promise<void> => {
  await new Promise((done) => setTimeout(done, 0));
  flushSync();
};

beforeEach(() => router.go('/events'));
afterEach(() => {
  for (const each of mounted) void unmount(each);
  mounted = [];
  preferences.exactTimes = false;
  document.body.replaceChildren();
});

const ID = '019ab0c2-7d1e-7000-8000-0123456789ab';

test('an id shows its end, and copies all of it', async () => {
  const written = vi.fn(async () => {});
  vi.stubGlobal('navigator', { clipboard: { writeText: written } });
  const button = show(Id, { id: ID, of: 'event' }).querySelector('button');
  expect(button?.textContent).toBe('456789ab');
  expect(button?.getAttribute('aria-label')).toBe(`456789ab: copy the event ${ID}`);
  button?.click();
  await settled();
  expect(written).toHaveBeenCalledWith(ID);
  expect(button?.textContent).toContain('copied');
});

test('a time says how long ago, and exactly to whom looks closer', () => {
  const at = new Date(Date.now() - 3.5 * 60_000).toISOString();
  const time = show(Time, { at }).querySelector('time');
  expect(time?.textContent).toBe('3 min ago');
  expect(time?.getAttribute('datetime')).toBe(at);
  expect(time?.getAttribute('aria-label')).toContain(at.replace('T', ' ').replace('Z', ' UTC'));
  time?.dispatchEvent(new Event('focus'));
  flushSync();
  expect(time?.textContent).toContain(at.slice(11, 23));
  preferences.exactTimes = true;
  flushSync();
  expect(time?.textContent).not.toContain('ago');
});

test('no time is a dash', () => expect(show(Time, { at: null }).textContent?.trim()).toBe('–'));

test('a state is a shape and a word, and one that is not known is its own word', () => {
  const known = show(State, { state: 'dead' });
  expect(known.querySelector('path')).not.toBe(null);
  expect(known.textContent?.trim()).toBe('dead');
  expect(show(State, { state: 'new-one' }).textContent?.trim()).toBe('new-one');
});

test('who may not is told which scope is missing, and no retry is offered', () => {
  const text = show(Trouble, { problem: new Problem(403, 'Forbidden', null, 'admin'), retry: () => {} });
  expect(text.querySelector('code')?.textContent).toBe('admin');
  expect(text.querySelector('button')).toBe(null);
});

test('a filter stands in the address, and leaves it', () => {
  router.go('/events?source=shop&cursor=abc');
  const chips = show(Chips, { fields: EVENT_FILTERS });
  expect(chips.textContent).toContain('shop');
  chips.querySelector<HTMLButtonElement>('.away')?.click();
  flushSync();
  expect(router.here).toBe('/events');
});

test('a filter is added by its name and value', async () => {
  const chips = show(Chips, { fields: EVENT_FILTERS });
  const add = chips.querySelector<HTMLSelectElement>('.add');
  if (add) add.value = 'key';
  add?.dispatchEvent(new Event('change', { bubbles: true }));
  await settled();
  const field = chips.querySelector('input');
  if (field) field.value = ' a&b ';
  field?.dispatchEvent(new Event('input', { bubbles: true }));
  flushSync();
  chips.querySelector('form')?.dispatchEvent(new Event('submit', { bubbles: true, cancelable: true }));
  flushSync();
  expect(router.here).toBe('/events?key=a%26b');
});

interface Row {
  id: string;
}

function table(selection: Selection): HTMLElement {
  return show(Table<Row>, {
    label: 'things',
    columns: [{ label: 'id' }],
    rows: [{ id: 'a' }, { id: 'b' }, { id: 'c' }],
    idOf: ({ id }: Row) => id,
    row: createRawSnippet((row: () => Row) => ({ render: () => `<td><a class="main" href="/events/${row().id}">${row().id}</a></td>` })),
    selection,
  });
}

test('j and k move through the rows, x picks one', () => {
  const selection = new Selection();
  table(selection);
  const at = (): string | null | undefined => document.activeElement?.textContent;
  keys.press('j', 0);
  expect(at()).toBe('a');
  keys.press('j', 1);
  keys.press('j', 2);
  keys.press('j', 3);
  expect(at()).toBe('c');
  keys.press('k', 4);
  keys.press('x', 5);
  expect([at(), ...selection.ids]).toEqual(['b', 'b']);
});

test('the keys of a list are gone with it', () => {
  table(new Selection());
  expect(keys.press('j', 0)).toBe(true);
  for (const each of mounted) void unmount(each);
  mounted = [];
  flushSync();
  expect(keys.press('j', 1)).toBe(false);
});

function answering(answers: (url: string, body: Record<string, unknown>) => unknown): Record<string, unknown>[] {
  const sent: Record<string, unknown>[] = [];
  vi.stubGlobal('fetch', async (url: string, init: { body?: string } = {}) => {
    const body = init.body ? JSON.parse(init.body) : {};
    sent.push({ url, ...body });
    return Response.json(answers(url, body));
  });
  return sent;
}

const COUNTED = { count: 1204, exact: true, destinations: { crm: 1200, billing: 4 }, keys: 310, oldest_at: '2026-11-28T02:14:00.000Z', newest_at: null, sample: [] };

function fill(panel: HTMLElement, selector: string, value: string): void {
  const field = panel.querySelector<HTMLInputElement>(selector);
  if (field) field.value = value;
  field?.dispatchEvent(new Event('input', { bubbles: true }));
  flushSync();
}

const submit = async (panel: HTMLElement): Promise<void> => {
  panel.querySelector('form')?.dispatchEvent(new Event('submit', { bubbles: true, cancelable: true }));
  await settled();
};

test('nothing is discarded without a count and a reason', async () => {
  who.session = null;
  const sent = answering((_url, body) => (body['dry_run'] ? COUNTED : { id: 'j1', ...COUNTED }));
  const panel = show(ActionPanel, { action: 'discard', target: { filter: { state: 'dead' } }, close: () => {}, changed: () => {} });
  const button = panel.querySelector<HTMLButtonElement>('button[type=submit]');
  expect(button?.disabled).toBe(true);
  await settled();
  expect(panel.textContent).toContain('1,204 deliveries');
  expect(panel.textContent).toContain('2 destinations');
  expect(button?.disabled, 'no reason yet').toBe(true);
  await submit(panel);
  expect(sent.filter((each) => !each['dry_run'])).toEqual([]);
  fill(panel, '.why input', 'test data');
  expect(button?.disabled).toBe(false);
});

test('a replay becomes its job, at the rate that was asked for', async () => {
  const job = { id: 'j1', action: 'replay', filter: {}, rate: 50, why: null, by: 'operator', state: 'running', state_why: null, total: 1204, done: 4, failed: 0, skipped: 0, errors: [], eta_s: 24 };
  const sent = answering((_url, body) => (body['dry_run'] ? COUNTED : job));
  const changed = vi.fn();
  const panel = show(ActionPanel, { action: 'replay', target: { filter: { state: 'dead' } }, rated: true, close: () => {}, changed });
  await settled();
  fill(panel, '.rate', 'fast');
  await submit(panel);
  expect(sent).toHaveLength(1);
  fill(panel, '.rate', '50/s');
  await submit(panel);
  expect(sent.at(-1)).toMatchObject({ action: 'replay', filter: { state: 'dead' }, rate: 50 });
  expect(panel.querySelector('progress')?.getAttribute('max')).toBe('1204');
  expect(panel.textContent).toContain('4 of 1,204');
  expect(changed).toHaveBeenCalled();
});

test('who may not replay is told so before asking', () => {
  who.session = { authenticated: true, required: true, user: 'operator', role: 'view', scopes: ['view'], oidc: false, version: '1', console: { name: null, colour: null } };
  const panel = show(ActionPanel, { action: 'replay', target: { ids: ['a'] }, close: () => {}, changed: () => {} });
  expect(panel.querySelector('form')).toBe(null);
  expect(panel.querySelector('code')?.textContent).toBe('replay');
  who.session = null;
});

test('a list that may lag says so, also where it is all on one page', () => {
  const text = show(Pages, { next: null, shown: 0, mayLag: true }).textContent ?? '';
  expect(text).toContain('0 shown; what came or changed a moment ago may be missing');
  expect(show(Pages, { next: null, shown: 3, mayLag: false }).textContent?.trim()).toBe('');
});
