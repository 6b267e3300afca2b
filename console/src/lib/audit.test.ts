import { expect, test } from 'vitest';
import type { AuditEntry } from '../api/types';
import { detailsInWords, targetName, targetPath } from './audit';

const ID = '019ab0c2-7d1e-7000-8000-0123456789ab';
const entry = (kind: string, id: string, details: Record<string, unknown> = {}): AuditEntry => ({ target: { kind, id }, details }) as unknown as AuditEntry;

test('an entry leads to what it was about', () => {
  expect(targetPath(entry('destination', 'crm'))).toBe('/destinations/crm');
  expect(targetPath(entry('job', ID))).toBe(`/jobs/${ID}`);
  expect(targetPath(entry('delivery', ID, { event: 'e1' }))).toBe(`/events/e1?delivery=${ID}`);
  expect(targetPath(entry('delivery', ID))).toBe(null);
  expect(targetPath(entry('store', 'x'))).toBe(null);
  expect(targetPath(entry('constructor', 'x'))).toBe(null);
});

test('ids are short, and names are whole', () => {
  expect(targetName(entry('job', ID))).toBe('456789ab');
  expect(targetName(entry('destination', 'crm'))).toBe('crm');
});

test('details are words', () => expect(detailsInWords(entry('job', ID, { rate: 20, filter: { state: 'dead' }, no: null }))).toBe('rate 20, filter {"state":"dead"}'));
