// Times as a person writes them, in a time zone far from UTC: what is not said is UTC, what is no day is refused.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseTimeText } from '../../src/lib/time-text.ts';

const zone = process.env['TZ'];
beforeAll(() => {
  process.env['TZ'] = 'Asia/Shanghai';
  expect(new Date(0).getHours()).toBe(8);
});
afterAll(() => {
  if (zone === undefined) delete process.env['TZ'];
  else process.env['TZ'] = zone;
});

it.each([
  ['2026-11-01', '2026-11-01T00:00:00.000Z'],
  ['2026-11-01T00:00:00', '2026-11-01T00:00:00.000Z'],
  ['2026-11-01 00:00', '2026-11-01T00:00:00.000Z'],
  ['2026-11-01T23:21:41.5Z', '2026-11-01T23:21:41.500Z'],
  ['2026-11-01t23:21:41z', '2026-11-01T23:21:41.000Z'],
  ['2026-11-01T00:00:00+08:00', '2026-10-31T16:00:00.000Z'],
  ['2026-11-01T00:00-0530', '2026-11-01T05:30:00.000Z'],
  ['2026-11-01T00:00:00.0010Z', '2026-11-01T00:00:00.001Z'],
  ['2026-11-01T00:00:00.0011Z', '2026-11-01T00:00:00.002Z'],
  ['2026-11-01T00:00:00.999999999', '2026-11-01T00:00:01.000Z'],
  ['2024-02-29', '2024-02-29T00:00:00.000Z'],
  ['0099-03-01', '0099-03-01T00:00:00.000Z'],
])('%s is %s', (text, time) => {
  expect(parseTimeText(text)).toBe(Date.parse(time));
});

it.each([
  ...['2026-02-30', '2026-02-29', '2026-13-01', '2026-00-10', '2026-11-00', '2026-11-31T00:00:00Z'],
  ...['2026-11-01T24:00:00', '2026-11-01T12:60', '2026-11-01T12:00:60', '2026-11-01T12:00+24:00'],
  ...[
    '2026-11',
    '20261101',
    '2026-11-01T',
    '2026-11-01Z',
    '2026-11-01T12',
    'yesterday',
    '',
    '2026-11-01 noon',
  ],
])('%j is refused', (text) => {
  expect(parseTimeText(text)).toBeUndefined();
});
