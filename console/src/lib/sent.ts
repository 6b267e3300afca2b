/** A request as a destination gets it, in words. */
import type { Body, SentRequest } from '../api/types';

const SHOWN_MAX = 100_000;

/** Why a header's value is not shown. */
export function hidden({ name }: SentRequest['headers'][number], at: string | null): string {
  return name === 'webhook-timestamp' && at === null ? '(when it is sent)' : '(not shown)';
}

/** Its body; of what is no text, how many bytes there are. */
export function asText({ text, base64 }: Body): string {
  if (text === null) return `(${bytesOf(base64 ?? '').toLocaleString('en-US')} bytes that are no text)`;
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}\n…` : text;
}

function bytesOf(base64: string): number {
  return (base64.length / 4) * 3 - (base64.endsWith('==') ? 2 : base64.endsWith('=') ? 1 : 0);
}
