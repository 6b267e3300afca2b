import { expect, test } from 'vitest';
import { asText, hidden } from './sent';

test('a value that is not shown is said to be so, and a time that is still to come as well', () => {
  expect(hidden({ name: 'Authorization', value: null }, null)).toBe('(not shown)');
  expect(hidden({ name: 'webhook-timestamp', value: null }, null)).toBe('(when it is sent)');
  expect(hidden({ name: 'webhook-timestamp', value: null }, '2026-11-28T02:14:00Z')).toBe('(not shown)');
});

test('bytes are counted, text is shown as far as anybody reads', () => {
  expect(asText({ text: null, base64: btoa('12345'), masked: false })).toBe('(5 bytes that are no text)');
  expect(asText({ text: '{"a":1}', base64: null, masked: false })).toBe('{"a":1}');
  expect(asText({ text: 'x'.repeat(100_001), base64: null, masked: false })).toMatch(/^x+\n…$/);
});
