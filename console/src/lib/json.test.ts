import { describe, expect, test } from 'vitest';
import { hits, holds, layOut, parseJson, type JsonNode } from './json';

const tree = (text: string): JsonNode => {
  const node = parseJson(text);
  if (node === null) throw new Error(`no JSON: ${text}`);
  return node;
};

test('numbers keep the digits that were sent', () => {
  const text = '[12345678901234567890, 1.10, 1e400, -0]';
  expect(layOut(tree(text))).toBe('[\n  12345678901234567890,\n  1.10,\n  1e400,\n  -0\n]');
});

test('a name that stands twice is there twice', () => {
  expect(layOut(tree('{"a":1,"a":2}'))).toBe('{\n  "a": 1,\n  "a": 2\n}');
});

test('laid out it means the same', () => {
  const text = '{"a":[{}, [], "x\\u00fc\\n\\"", null, true, {"b":{"c":-1.5e3}}], "": ""}';
  expect(JSON.parse(layOut(tree(text)))).toEqual(JSON.parse(text));
});

describe('what is no JSON', () => {
  test.each(['', '{', '{"a"}', '[1,]', '{"a":1,}', "{'a':1}", '01', '1.', 'nul', '"\n"', '"\\x"', '[1] 2', 'NaN', '\ufeff{}', '<x/>'])(
    '%j',
    (text) => expect(parseJson(text)).toBe(null),
  );

  test('is what is nested deeper than anybody reads, instead of a stack that overflows', () => {
    expect(parseJson('['.repeat(100_000) + ']'.repeat(100_000))).toBe(null);
    expect(parseJson('['.repeat(400) + ']'.repeat(400))).not.toBe(null);
  });
});

test('JSON.parse and this agree on what is JSON', () => {
  const texts = ['1', '-1', '1e5', '1E+5', '"a"', ' [ 1 , 2 ] ', '{}', '{"a" : {"b" : [ ]}}', 'true', '"\\ud83d"', '\t1\r\n'];
  for (const text of texts) expect(() => JSON.parse(text), text).not.toThrow();
  expect(texts.filter((text) => parseJson(text) === null)).toEqual([]);
});

test('a search finds names and values, and not the places in a list', () => {
  const node = tree('{"Customer": {"name": "Lamp"}, "list": [10, "LAMP"], "n": 0}');
  expect(holds('', node, 'lamp')).toBe(true);
  expect(hits('', node, 'lamp')).toBe(2);
  expect(hits('', node, 'customer')).toBe(1);
  expect(hits('', node, '0')).toBe(2);
  expect(holds('', node, 'nobody')).toBe(false);
});
