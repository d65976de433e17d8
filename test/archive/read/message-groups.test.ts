// Groups of messages that are more than memory holds.
import { expect, it } from 'vitest';
import { countBy, latestPerKey } from '../../../src/archive/read/message-groups.ts';
import { encodeRecord } from '../../../src/format/record.ts';
import { message } from '../archive-fixture.ts';

it('finds the last of each key in any order of keys, also of values that do not fit into memory together', async () => {
  const LARGE = 'v'.repeat(1_000_000);
  async function* some() {
    for (const round of [1, 2])
      for (let i = 0; i < 30; i++) {
        const isDeleted = round === 2 && i % 3 === 0;
        const payload = isDeleted ? null : Buffer.from(`${round}/${i}/${LARGE}`);
        const own = message(0, round * 100 + i, { key: `k${(i * 7) % 30}`, payload });
        yield { message: own, line: encodeRecord(own).trimEnd() };
      }
  }
  const leftOut = { keyless: 0, deleted: 0 };
  const found: string[] = [];
  for await (const { message: own } of latestPerKey(some(), leftOut, false))
    found.push(`${own.key} ${Buffer.from(own.payload ?? []).toString('utf8', 0, 4)}`);
  const expected = Array.from({ length: 30 }, (_, i) => i)
    .filter((i) => i % 3 !== 0)
    .map((i) => `k${(i * 7) % 30} ${`2/${i}/${LARGE}`.slice(0, 4)}`);
  expect(found).toEqual(expected.sort());
  expect(leftOut).toEqual({ keyless: 0, deleted: 10 });
});

it('counts more keys than memory holds, each exactly', async () => {
  const KEYS = 400_000;
  const one = message(0, 1);
  async function* some() {
    for (let i = 0; i < KEYS + 1_000; i++) yield { message: { ...one, key: `key-${i % KEYS}` }, line: '' };
  }
  let keys = 0;
  let twice = 0;
  for await (const { messages } of countBy(some(), { kind: 'key' })) {
    keys++;
    if (messages === 2) twice++;
  }
  expect({ keys, twice }).toEqual({ keys: KEYS, twice: 1_000 });
});
