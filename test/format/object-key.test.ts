import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  createKeyParser,
  objectKey,
  parseObjectKey,
  runManifestKey,
  topicFolder,
  unreadableKey,
} from '../../src/format/object-key.ts';

const topic = { tenant: 'pulsar-abc', namespace: 'default', topic: 'orders' };
const name = fc.stringMatching(/^[a-z0-9][a-z0-9=:._-]{0,20}$/);

it('parses every key that it makes: parseObjectKey(objectKey(x)) = x', () => {
  fc.assert(
    fc.property(
      fc.record({ tenant: name, namespace: name, topic: name }),
      fc.constantFrom('', 'tdmq/orders/', 'date=2020-01-01/partition=3/'),
      fc.record({
        ledgerId: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
        entryId: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
        partition: fc.integer({ min: -1, max: 9999 }),
        batchIndex: fc.integer({ min: -1, max: 99_999 }),
      }),
      fc.nat({ max: Date.UTC(2100, 0, 1) }),
      fc.constantFrom('none', 'gzip', 'zstd'),
      (names, prefix, id, publishTimeMs, compression) => {
        const key = objectKey(prefix, names, { id, publishTimeMs }, compression);
        expect(parseObjectKey(prefix, key)).toEqual({
          ...names,
          date: new Date(publishTimeMs).toISOString().slice(0, 10),
          partition: id.partition,
          ledgerId: id.ledgerId,
          entryId: id.entryId,
          batchIndex: Math.max(0, id.batchIndex),
          compression,
        });
      },
    ),
  );
});

it('parses keys one after the other as each by itself, of whatever folders they are', () => {
  const folder = 't/n/o/date=2026-11-23/partition=0/';
  const names = [
    '000000000012-0000000007-00004.jsonl',
    '000000000013-0000000000-00000.jsonl.gz',
    'notes.txt',
  ];
  const folders = [folder, `x/${folder}`, folder.replace('=0', '=1'), `${folder}partition=0/`, '', folder];
  const keys = folders.flatMap((one) => names.map((last) => `${one}${last}`));
  const parse = createKeyParser('');
  expect(keys.map(parse)).toEqual(keys.map((key) => parseObjectKey('', key)));
  expect(keys.map(parse).filter(Boolean)).toHaveLength(6);
});

it.each([
  [-1, '1970-01-01'],
  [-(2n ** 63n), '1970-01-01'],
  [0, '1970-01-01'],
  [Date.UTC(9999, 11, 31, 23), '9999-12-31'],
  [Date.UTC(10_000, 0), '9999-12-31'],
  [2n ** 63n - 1n, '9999-12-31'],
])('of a message published at %s has the day %s', (publishTimeMs, date) => {
  const id = { ledgerId: 12, entryId: 7, partition: 3, batchIndex: 4 };
  const key = objectKey('tdmq/', topic, { id, publishTimeMs }, 'none');
  expect(parseObjectKey('tdmq/', key)?.date).toBe(date);
});

it('writes keys to the letter', () => {
  const publishTimeMs = Date.UTC(2026, 10, 23, 23, 59, 59, 999);
  const id = { ledgerId: 12, entryId: 7, partition: 3, batchIndex: 4 };
  expect(objectKey('tdmq/', topic, { id, publishTimeMs }, 'none')).toBe(
    'tdmq/pulsar-abc/default/orders/date=2026-11-23/partition=3/000000000012-0000000007-00004.jsonl',
  );
  expect(objectKey('', topic, { id: { ...id, partition: -1, batchIndex: -1 }, publishTimeMs }, 'gzip')).toBe(
    'pulsar-abc/default/orders/date=2026-11-23/partition=none/000000000012-0000000007-00000.jsonl.gz',
  );
  expect(unreadableKey('tdmq/', topic, 3, id)).toBe(
    'tdmq/_unreadable/pulsar-abc/default/orders/partition=3/000000000012-0000000007.bin',
  );
  expect(runManifestKey('tdmq/', 'orders-backup', Date.UTC(2026, 10, 23, 23, 21, 41, 123), 'req-1')).toBe(
    'tdmq/_runs/rule=orders-backup/date=2026-11-23/20261123T232141123Z-req-1.json',
  );
  expect(topicFolder('tdmq/', topic)).toBe('tdmq/pulsar-abc/default/orders/');
});

it('lists in message order within a day and partition', () => {
  const keyOf = (ledgerId: number, entryId: number, batchIndex: number) =>
    objectKey('', topic, { id: { ledgerId, entryId, partition: 0, batchIndex }, publishTimeMs: 0 }, 'zstd');
  const inOrder = [keyOf(9, 99, 0), keyOf(10, 0, 0), keyOf(10, 9, 5000), keyOf(10, 10, 0), keyOf(100, 0, 0)];
  expect([...inOrder].sort()).toEqual(inOrder);
});

it('takes no other object for one of ours', () => {
  for (const key of [
    'a.jsonl',
    't/n/o/date=2026-11-23/partition=x/000000000012-0000000007-00004.jsonl',
    '_runs/x.json',
  ]) {
    expect(parseObjectKey('', key), key).toBeUndefined();
  }
  expect(
    parseObjectKey('other/', 't/n/o/date=2026-11-23/partition=0/000000000012-0000000007-00004.jsonl'),
  ).toBeUndefined();
});

it('has a key also for a time that no date can hold', () => {
  const id = { ledgerId: 1, entryId: 1, partition: 0, batchIndex: 0 };
  expect(objectKey('', topic, { id, publishTimeMs: 2 ** 60 }, 'none')).toContain('date=9999-12-31');
});
