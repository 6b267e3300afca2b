import { expect, test } from 'vitest';
import type { Alert, Destination, Source, Status } from '../api/places';
import type { Group } from '../api/types';
import { goingOn, whatIsWrong } from './wrong';

const STATUS = { accepting: true, delivering: true, ready: true, why_not: [], warnings: [] } as unknown as Status;
const CRM = { name: 'crm', state: 'closed', circuit: null, paused_by: null, paused_why: null, counts: { scheduled: 398 } } as unknown as Destination;
const SHOP = { name: 'shop', silent: false, held: 0, last_event_at: '2026-11-28T02:00:00.000Z' } as unknown as Source;
const CIRCUIT = { opened_at: '2026-11-28T02:10:00.000Z', probe_at: '2026-11-28T02:15:00.000Z', why: 'HTTP 503' };

test('where all is well there is nothing to say', () => expect(whatIsWrong(STATUS, [CRM], [SHOP], [])).toEqual([]));

test('an open circuit is told with why, since when, and how many wait', () => {
  const [wrong] = whatIsWrong(STATUS, [{ ...CRM, state: 'open', circuit: CIRCUIT }], [], []);
  expect(wrong).toEqual({ state: 'open', what: 'crm', href: '/destinations/crm', at: CIRCUIT.opened_at, why: 'its circuit is open: HTTP 503; 398 deliveries wait' });
});

test('a pause is told with who and why, and before the circuit', () => {
  const paused = { ...CRM, state: 'paused' as const, circuit: CIRCUIT, paused_by: 'operator', paused_why: 'moving' };
  expect(whatIsWrong(STATUS, [paused], [], []).map(({ state, why }) => [state, why])).toEqual([
    ['paused', 'paused by operator: “moving”; 398 deliveries wait'],
  ]);
});

test('a gateway that accepts or delivers nothing comes first', () => {
  const down = { ...STATUS, accepting: false, delivering: false, ready: false, why_not: ['the disk is nearly full'] };
  const told = whatIsWrong(down, [{ ...CRM, state: 'open', circuit: CIRCUIT }], [{ ...SHOP, silent: true, held: 2 }], []);
  expect(told.map(({ what }) => what)).toEqual(['not ready', 'nothing is accepted', 'nothing is delivered', 'crm', 'shop', 'shop']);
});

test('a spool in use is told with why, and how many wait in it', () => {
  const spool = { in_use: true, events: 3, bytes: 300, oldest_at: null, stuck: 0, since: CIRCUIT.opened_at, why: 'connection refused' };
  const [wrong] = whatIsWrong({ ...STATUS, spool }, [], [], []);
  expect(wrong).toMatchObject({ state: 'failed', what: 'spool in use', why: 'the store cannot be had: connection refused; 3 events wait in the spool' });
  expect(whatIsWrong({ ...STATUS, spool: { ...spool, in_use: false } }, [], [], [])).toEqual([]);
});

test('what the store warns of is told, behind what is broken', () => {
  const warning = { kind: 'durability_relaxed', text: 'What is accepted may be lost in a crash.', since: null, details: {} };
  const told = whatIsWrong({ ...STATUS, warnings: [warning], why_not: ['the disk is nearly full'] }, [], [], []);
  expect(told.map(({ state, what, why }) => [state, what, why])).toEqual([
    ['failed', 'not ready', 'the disk is nearly full'],
    ['held', 'store', 'What is accepted may be lost in a crash.'],
  ]);
});

test('an alert is told where nothing else says it', () => {
  const alert = { kind: 'backlog', about: 'destination', subject: 'crm', severity: 'warning', title: 'What waits for crm is old', why: '3 h', since: CIRCUIT.opened_at } as Alert;
  expect(whatIsWrong(STATUS, [], [], [alert, { ...alert, kind: 'circuit' }])).toHaveLength(1);
});

test('a job that could not go on is wrong, and leads to it; one that is done is not', () => {
  const subject = '01a22267-6e32-74d1-a3d4-a07086114761';
  const job = { kind: 'job_done', about: 'job', subject, severity: 'error', title: `The job ${subject} has ended`, why: 'it could not go on', since: CIRCUIT.opened_at } as Alert;
  expect(whatIsWrong(STATUS, [], [], [{ ...job, severity: 'info' }])).toEqual([]);
  const [wrong] = whatIsWrong(STATUS, [], [], [job]);
  expect([wrong?.state, wrong?.what, wrong?.href]).toEqual(['failed', 'The job 86114761 has ended', `/jobs/${subject}`]);
});

test('what dies is wrong, by destination, since the first of it; what lies there since long ago is not', () => {
  const cause = (destination: string | null, count: number, first_at: string, last_at: string): Group => ({ destination, count, first_at, last_at }) as Group;
  const causes = [
    cause('crm', 10, '2026-11-28T02:10:00.000Z', '2026-11-28T02:40:00.000Z'),
    cause('crm', 8, '2026-11-28T02:05:00.000Z', '2026-11-28T02:30:00.000Z'),
    cause(null, 1, '2026-11-28T02:20:00.000Z', '2026-11-28T02:20:00.000Z'),
    cause('billing', 4, '2026-11-01T00:00:00.000Z', '2026-11-02T00:00:00.000Z'),
  ];
  const told = whatIsWrong(STATUS, [CRM], [SHOP], [], goingOn(causes, Date.parse('2026-11-28T02:00:00Z')));
  expect(told.map(({ what, why, at, href }) => [what, why, at, href])).toEqual([
    ['crm', '18 deliveries are dead, of 2 causes', '2026-11-28T02:05:00.000Z', '/dead-letters?destination=crm'],
    ['quarantine', '1 delivery is dead, of 1 cause', '2026-11-28T02:20:00.000Z', '/dead-letters?destination=quarantine'],
  ]);
});

test('the worst is said first, and what was paused on purpose last', () => {
  const paused = { ...CRM, name: 'archive', state: 'paused' as const };
  const open = { ...CRM, state: 'open' as const, circuit: CIRCUIT };
  const told = whatIsWrong(STATUS, [paused, open], [{ ...SHOP, silent: true }], []);
  expect(told.map(({ what }) => what)).toEqual(['crm', 'shop', 'archive']);
});

test('what the store warns of is told with since when', () => {
  const warning = { kind: 'old_snapshot', text: 'a session holds a snapshot', since: CIRCUIT.opened_at, details: { pid: '7' } };
  const [wrong] = whatIsWrong({ ...STATUS, warnings: [warning] }, [], [], []);
  expect(wrong).toMatchObject({ state: 'held', what: 'the store', at: CIRCUIT.opened_at, why: 'a session holds a snapshot' });
});
