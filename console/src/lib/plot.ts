/** The numbers of the plot: its axis grows with the square root, so that one dead letter shows beside a thousand events. */

export interface Curve {
  name: string;
  label: string;
  /** The name of its colour in tokens.css. */
  colour: string;
  dash: number[];
  width: number;
  points: number[];
}

/** Round numbers for the axis, the largest first dropped where two would stand on each other. Pixels between them: 26. */
export function ticks(most: number, height: number, apart = 26): number[] {
  const found = [0];
  const place = (value: number): number => (Math.sqrt(value) / Math.sqrt(Math.max(most, 1))) * height;
  for (let power = 1; power <= most; power *= 10) {
    for (const value of [power, 2 * power, 5 * power]) {
      if (value <= most && place(value) - place(found.at(-1) ?? 0) >= apart) found.push(value);
    }
  }
  return found;
}

/** "1.2k", "3M": for an axis. */
export function short(value: number): string {
  if (value < 1000) return String(value);
  if (value < 1_000_000) return `${Math.round(value / 100) / 10}k`;
  return `${Math.round(value / 100_000) / 10}M`;
}

const two = (value: number): string => String(value).padStart(2, '0');

/** What stands below a time of the axis: the time of day, and the day where it begins or steps are days. In seconds. */
export function timeLabel(at: number, between: number): string {
  const time = new Date(at * 1000);
  const day = `${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  if (between >= 86_400 || (time.getHours() === 0 && time.getMinutes() === 0)) return day;
  return `${two(time.getHours())}:${two(time.getMinutes())}`;
}

/** The times that a drag chose, as the address has them; null where it was a click. Milliseconds, whole minutes. */
export function chosen(from: number, to: number): { since: string; until: string } | null {
  const since = Math.floor(from / 60_000) * 60_000;
  const until = Math.ceil(to / 60_000) * 60_000;
  if (until - since < 60_000) return null;
  return { since: new Date(since).toISOString(), until: new Date(until).toISOString() };
}
