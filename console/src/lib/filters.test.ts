import { expect, test } from 'vitest';
import { asQuery, DEAD_FILTERS, link, read, write } from './filters';

const ODD = 'a&b=c #1 / ü "x" <y>';

test('what an address says comes back as it was, whatever is in it', () => {
  const filters = { destination: 'crm', error: ODD, since: '2h' };
  const params = write(new URLSearchParams(), DEAD_FILTERS, filters);
  expect(read(new URLSearchParams(params.toString()), DEAD_FILTERS)).toEqual(filters);
});

test('another filter begins at the first page, and leaves what is no filter', () => {
  const params = write(new URLSearchParams('cursor=abc&rows=all&destination=crm'), DEAD_FILTERS, { reason: 'expired' });
  expect(params.toString()).toBe('rows=all&reason=expired');
});

test('what is no filter of the list is none, and an empty one is none', () => {
  expect(read(new URLSearchParams('nonsense=1&destination=&key=k'), DEAD_FILTERS)).toEqual({ key: 'k' });
});

test('the same filters always make the same address', () => {
  const one = write(new URLSearchParams('key=k&destination=crm'), DEAD_FILTERS, { key: 'k', destination: 'crm' });
  const other = write(new URLSearchParams('destination=crm&key=k'), DEAD_FILTERS, { destination: 'crm', key: 'k' });
  expect(one.toString()).toBe(other.toString());
});

test('a relative time stays so in the address, and is a time for the gateway', () => {
  const now = Date.parse('2026-11-28T02:14:30Z');
  expect(asQuery({ since: '24h', key: 'k' }, now)).toEqual({ since: '2026-11-27T02:14:00.000Z', key: 'k' });
});

test('a link leaves out what is not there', () => {
  expect(link('/dead-letters', { destination: 'crm', status: null, error: undefined, key: '' })).toBe('/dead-letters?destination=crm');
  expect(link('/events', {})).toBe('/events');
  expect(link('/events', { contains: 'a b&c' })).toBe('/events?contains=a+b%26c');
});
