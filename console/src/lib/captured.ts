/** A captured request as a person pastes it: headers as lines, a body. */

export interface Captured {
  headers: Record<string, string>;
  body: string;
}

/** Headers from lines such as "X-Signature: sha256=…". What is no header is told with its line. */
export function readHeaders(text: string): { headers: Record<string, string>; wrong: string | null } {
  const headers: Record<string, string> = {};
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    const found = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*:\s*(.*?)\s*$/.exec(line.trim());
    if (!found) return { headers, wrong: line.trim() };
    headers[found[1] ?? ''] = found[2] ?? '';
  }
  return { headers, wrong: null };
}

const REASONS: Record<string, string> = {
  no_proof: 'nothing proves that it is from the sender',
  wrong_proof: 'what should prove it does not fit',
  unknown_source: 'no source has this name',
  address: 'its address is not allowed',
  path: 'the path is no webhook',
  method: 'it is no POST',
  slow: 'it came too slowly',
  length: 'its length is not told',
  too_large: 'it is too large',
  headers: 'its headers are too many or too large',
  rate: 'there were too many; the sender is to come back',
  unavailable: 'it could not be kept then; the sender is to come back',
  unreadable: 'it is no HTTP that can be read',
};

/** Why requests are refused, in words. */
export function refusedBecause(reason: string): string {
  return REASONS[reason] ?? reason;
}

/** "every 40 s", "at least every 2 h": the longest that it has been without an event. */
export function usually(seconds: number | null): string | null {
  if (seconds === null) return null;
  const minutes = Math.round(seconds / 60);
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (minutes < 120) return `${minutes} min`;
  return `${Math.round(minutes / 60)} h`;
}
