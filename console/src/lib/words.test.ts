import { expect, test } from 'vitest';
import { bytes, count, many, mayBeId, shortId, standing } from './words';

const ID = '019ab0c2-7d1e-7000-8000-0123456789ab';

test('an id is read out by its last eight characters, which are the random ones', () => expect(shortId(ID)).toBe('456789ab'));

test.each([
  [ID, true],
  ['456789ab', true],
  ['456789AB', true],
  ['019ab0c2-7d1e', true],
  ['conversation-4711', false],
  ['4567', false],
  ['0123456789', false],
])('whether "%s" may be an id: %s', (text, may) => expect(mayBeId(text)).toBe(may));

test('numbers are grouped, and one is one', () => {
  expect(count(1204)).toBe('1,204');
  expect([many(1, 'delivery', 'deliveries'), many(1204, 'delivery', 'deliveries'), many(0, 'key')]).toEqual([
    '1 delivery',
    '1,204 deliveries',
    '0 keys',
  ]);
  expect([bytes(812), bytes(1100), bytes(3_400_000)]).toEqual(['812 B', '1.1 KB', '3.4 MB']);
});

test('what is held or paused looks so, and not like what only waits', () => {
  expect(standing({ state: 'scheduled', waits_for: 'held' })).toBe('held');
  expect(standing({ state: 'scheduled', waits_for: 'pause' })).toBe('paused');
  expect(standing({ state: 'scheduled', waits_for: 'backoff' })).toBe('scheduled');
  expect(standing({ state: 'dead', waits_for: null })).toBe('dead');
});
