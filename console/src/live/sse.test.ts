import { expect, test } from 'vitest';
import { backOff, MessageReader } from './sse';

const TEXT = ': hello\n\nevent: job\nid: 7\ndata: {"a":1}\n\nevent: ping\ndata\n\ndata: one\ndata: two\n\nevent: nothing\n\n';

const read = (pieces: string[]): unknown[] => {
  const reader = new MessageReader();
  return pieces.flatMap((piece) => reader.read(piece));
};

test('a message is what stands before an empty line', () => {
  expect(read([TEXT])).toEqual([
    { event: 'job', data: '{"a":1}', id: '7' },
    { event: 'ping', data: '', id: '7' },
    { event: 'message', data: 'one\ntwo', id: '7' },
  ]);
});

test('it may be cut anywhere', () => {
  for (const ends of ['\n', '\r\n']) {
    const text = TEXT.replaceAll('\n', ends);
    const whole = read([text]);
    for (let at = 1; at < text.length; at += 1) expect(read([text.slice(0, at), text.slice(at)]), `cut at ${at}`).toEqual(whole);
    expect(read([...text])).toEqual(whole);
  }
});

test('the wait doubles, ends at half a minute, and is never the same for all', () => {
  expect([1, 2, 3, 10].map((failures) => backOff(failures, 1))).toEqual([1000, 2000, 4000, 30_000]);
  expect(backOff(10, 0)).toBe(15_000);
});
