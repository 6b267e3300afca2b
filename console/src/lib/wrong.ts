/** What is wrong now: the first thing that the overview says, worst first, each with where it can be mended. */
import type { Alert, Destination, Source, Status } from '../api/places';
import type { Group } from '../api/types';
import { destinationPath, jobPath, sourcePath } from '../routes';
import { link } from './filters';
import { parse } from './time';
import { destinationName, many } from './words';

export interface Wrong {
  /** How it looks: parts/State. */
  state: 'dead' | 'open' | 'half_open' | 'paused' | 'held' | 'failed';
  /** What it is about. */
  what: string;
  href: string;
  /** Since when; null where nobody knows. */
  at: string | null;
  why: string;
}

/** What somebody paused on purpose comes last. */
const WORST: readonly Wrong['state'][] = ['failed', 'open', 'half_open', 'dead', 'held', 'paused'];

/** Alerts of these kinds say what is said here already, with less about it. */
const SAID = new Set(['dead_letters', 'circuit', 'source_silent', 'node', 'not_ready']);

/** causes: what is dead, and has gone on dying within the time that is looked at. */
export function whatIsWrong(
  status: Status,
  destinations: readonly Destination[],
  sources: readonly Source[],
  alerts: readonly Alert[],
  causes: readonly Group[] = [],
): Wrong[] {
  const found = [...ofGateway(status), ...destinations.flatMap(ofDestination), ...ofDead(causes), ...sources.flatMap(ofSource), ...alerts.flatMap(ofAlert)];
  return found.sort((one, other) => WORST.indexOf(one.state) - WORST.indexOf(other.state));
}

/** Of causes, those that somebody died of since then, in milliseconds: what lies there for weeks is not wrong *now*. */
export const goingOn = (causes: readonly Group[], from: number): Group[] => causes.filter(({ last_at }) => parse(last_at) >= from);

function ofDead(causes: readonly Group[]): Wrong[] {
  const names = [...new Set(causes.map(({ destination }) => destinationName(destination)))];
  return names.map((name) => {
    const its = causes.filter(({ destination }) => destinationName(destination) === name);
    const dead = its.reduce((sum, { count }) => sum + count, 0);
    const first = its.map(({ first_at }) => first_at).sort()[0] ?? null;
    const why = `${many(dead, 'delivery is', 'deliveries are')} dead, of ${many(its.length, 'cause')}`;
    return { state: 'dead', what: name, href: link('/dead-letters', { destination: name }), at: first, why };
  });
}

function ofGateway(status: Status): Wrong[] {
  const found: Wrong[] = status.why_not.map((why) => ({ state: 'failed', what: 'not ready', href: '/settings?tab=nodes', at: null, why }));
  if (!status.accepting) found.push({ state: 'failed', what: 'nothing is accepted', href: '/settings?tab=nodes', at: null, why: 'no process that accepts is running' });
  if (!status.delivering) found.push({ state: 'failed', what: 'nothing is delivered', href: '/settings?tab=nodes', at: null, why: 'no process that delivers is running' });
  if (status.spool?.in_use) {
    const why = `the store cannot be had: ${status.spool.why ?? 'why is not known'}; ${many(status.spool.events, 'event waits', 'events wait')} in the spool`;
    found.push({ state: 'failed', what: 'spool in use', href: '/settings?tab=nodes', at: status.spool.since, why });
  }
  for (const { since, text } of status.warnings) found.push({ state: 'held', what: 'the store', href: '/settings?tab=nodes', at: since, why: text });
  return found;
}

function ofDestination(each: Destination): Wrong[] {
  const what = destinationName(each.name);
  const href = each.name === null ? '/dead-letters?destination=quarantine' : destinationPath(each.name);
  const waiting = each.counts.scheduled;
  const wait = waiting ? `; ${many(waiting, 'delivery waits', 'deliveries wait')}` : '';
  if (each.state === 'paused') {
    const why = `paused by ${each.paused_by ?? 'somebody'}${each.paused_why ? `: “${each.paused_why}”` : ''}`;
    return [{ state: 'paused', what, href, at: each.paused_at, why: why + wait }];
  }
  if (each.state === 'closed' || each.circuit === null) return [];
  return [{ state: each.state, what, href, at: each.circuit.opened_at, why: `its circuit is open: ${each.circuit.why}${wait}` }];
}

function ofSource(each: Source): Wrong[] {
  const found: Wrong[] = [];
  if (each.silent) found.push({ state: 'held', what: each.name, href: sourcePath(each.name), at: each.last_event_at, why: 'it is silent: it was never so long without an event' });
  if (each.held > 0) {
    const why = `${many(each.held, 'request')} could not be verified, and ${each.held === 1 ? 'is' : 'are'} held until released`;
    found.push({ state: 'held', what: each.name, href: sourcePath(each.name), at: null, why });
  }
  return found;
}

function ofAlert(alert: Alert): Wrong[] {
  // A job that is done is news, and nothing that is wrong.
  if (SAID.has(alert.kind) || alert.severity === 'info') return [];
  const what = alert.about === 'job' ? alert.title.replace(alert.subject, alert.subject.slice(-8)) : alert.title;
  return [{ state: alert.severity === 'critical' || alert.severity === 'error' ? 'failed' : 'held', what, href: pathOf(alert), at: alert.since, why: alert.why }];
}

function pathOf({ about, subject }: Alert): string {
  if (about === 'destination') return destinationPath(subject);
  if (about === 'source') return sourcePath(subject);
  return about === 'job' ? jobPath(subject) : '/settings?tab=alerts';
}
