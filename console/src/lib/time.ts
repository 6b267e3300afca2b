/** Times and durations, in words and exactly. */

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** "3 min ago", "in 20 s", "just now". Seconds go by tens: a list that is read should not tick. */
export function ago(time: number, now: number): string {
  const away = Math.abs(now - time);
  if (away < 10 * SECOND) return time <= now ? 'just now' : 'now';
  const words = rough(away < MINUTE ? away - (away % (10 * SECOND)) : away);
  return time <= now ? `${words} ago` : `in ${words}`;
}

/** One unit, rounded down: "59 s", "3 min", "2 h", "12 d". */
export function rough(ms: number): string {
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)} s`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)} min`;
  if (ms < 2 * DAY) return `${Math.floor(ms / HOUR)} h`;
  return `${Math.floor(ms / DAY)} d`;
}

/** How long something took: "4 ms", "1.2 s", "3 min 05 s", "2 h 14 min". */
export function duration(ms: number): string {
  if (ms < SECOND) return `${Math.round(ms)} ms`;
  if (ms < 10 * SECOND) return `${(Math.floor(ms / 100) / 10).toFixed(1)} s`;
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)} s`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)} min ${two(Math.floor((ms % MINUTE) / SECOND))} s`;
  if (ms < DAY) return `${Math.floor(ms / HOUR)} h ${two(Math.floor((ms % HOUR) / MINUTE))} min`;
  return `${Math.floor(ms / DAY)} d ${Math.floor((ms % DAY) / HOUR)} h`;
}

/** "2026-11-28 02:14:09" in the zone of who looks. */
export function local(time: number): string {
  const at = new Date(time);
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** "02:14:09.512", for a list that is all of one day. */
export function clock(time: number): string {
  const at = new Date(time);
  const ms = String(at.getMilliseconds()).padStart(3, '0');
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${ms}`;
}

/** "2026-11-28 01:14:09.512 UTC". */
export function utc(time: number): string {
  return new Date(time).toISOString().replace('T', ' ').replace('Z', ' UTC');
}

/** "+01:00", the zone of who looks at that time. */
export function zone(time: number): string {
  const minutes = -new Date(time).getTimezoneOffset();
  const away = Math.abs(minutes);
  return `${minutes < 0 ? '-' : '+'}${two(Math.floor(away / 60))}:${two(away % 60)}`;
}

export function parse(text: string): number {
  return Date.parse(text);
}

const RELATIVE = /^(\d+)(s|m|min|h|d)$/;
const UNITS: Record<string, number> = { s: SECOND, m: MINUTE, min: MINUTE, h: HOUR, d: DAY };

/**
 * The time that a filter means: "24h" is that long ago, to the minute, so that the pages of one list are cut at the
 * same place. Anything else is left as it is.
 */
export function since(text: string, now: number): string {
  const found = RELATIVE.exec(text);
  if (found === null) return text;
  const at = now - Number(found[1]) * (UNITS[found[2] ?? 's'] ?? SECOND);
  return new Date(Math.floor(at / MINUTE) * MINUTE).toISOString();
}

export function isRelative(text: string): boolean {
  return RELATIVE.test(text);
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}
