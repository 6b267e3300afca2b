import { expect, test } from 'vitest';
import { readHeaders, refusedBecause, usually } from './captured';

test('headers are read from lines, with colons in their values', () => {
  expect(readHeaders('X-Signature: sha256=ab:cd\n\n  Content-Type:application/json  ')).toEqual({
    headers: { 'X-Signature': 'sha256=ab:cd', 'Content-Type': 'application/json' },
    wrong: null,
  });
});

test('what is no header is told', () => expect(readHeaders('A: b\nnonsense').wrong).toBe('nonsense'));

test('a reason that is new is its own word', () => {
  expect(refusedBecause('wrong_proof')).toContain('does not fit');
  expect(refusedBecause('newest')).toBe('newest');
});

test.each([
  [null, null],
  [40, '40 s'],
  [600, '10 min'],
  [10_800, '3 h'],
])('%s s without an event is %s', (seconds, said) => expect(usually(seconds)).toBe(said));
