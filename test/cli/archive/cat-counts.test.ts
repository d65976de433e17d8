// `archive cat --count`, `--count-by` and `--latest-per-key`: counts as people and programs read them, tombstones, messages
// without a key, raw entries, and what happens when something is damaged.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { main } from '../../../src/cli/main.ts';
import { decodeRecord } from '../../../src/format/record.ts';
import type { Message } from '../../../src/ports.ts';
import { message, storeManifest, storeObject } from '../../archive/archive-fixture.ts';
import { writeCopy } from '../../archive/archive-folder.ts';
import { createMemoryStore } from '../../fakes/memory-store.ts';
import { testTerminal } from '../terminal.ts';

const root = mkdtempSync(join(tmpdir(), 'tdmq-backup-counts-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const HOUR_MS = 3_600_000;
const binaryKey = Buffer.from([0xff, 0x00]);

/** By partition: the key, and the value. */
const CONTENTS: readonly (readonly [partition: number, Message['key'], string | null])[] = [
  [0, 'a', 'a1'],
  [0, 'b', 'b1'],
  [1, 'c\n\u001b[31m', 'c1'],
  [0, 'a', 'a2'],
  [1, binaryKey, 'x1'],
  [0, 'b', null],
  [1, undefined, 'keyless'],
  [1, 'd', 'd1'],
  [1, 'd', ''],
  [1, 'e', null],
  [1, 'e', 'e2'],
];

async function makeCopy(folder: string, contents = CONTENTS): Promise<void> {
  const store = createMemoryStore();
  const all = contents.map(([partition, key, value], i) =>
    message(partition, i, {
      key,
      publishTimeMs: Date.UTC(2026, 10, 23, 12) + i * (HOUR_MS / 4),
      properties: i % 2 === 0 ? [['trace', `t${i % 3}`]] : [],
      payload: value === null ? null : Buffer.from(value),
    }),
  );
  const of = (partition: number) => all.filter(({ id }) => id.partition === partition);
  const stored = [await storeObject(store, of(0)), await storeObject(store, of(1), { compression: 'gzip' })];
  // The same messages once more, as a subscription that was set back leaves them.
  stored.push(await storeObject(store, of(0).slice(1)));
  await storeManifest(store, stored);
  writeCopy(store, folder);
}

async function cat(folder: string, args: readonly string[], expectedCode = 0) {
  const { terminal, out, err } = testTerminal();
  expect(await main(['archive', 'cat', '--folder', folder, ...args], terminal), err()).toBe(expectedCode);
  return { out: out(), err: err() };
}
const valuesOf = (out: string) =>
  out
    .split('\n')
    .slice(0, -1)
    .map((line) => decodeRecord(line).payload?.toString());

describe('of an archive that is whole', () => {
  const folder = join(root, 'whole');
  beforeAll(() => makeCopy(folder));

  test('each message counts once', async () => {
    expect((await cat(folder, ['--count'])).out).toBe(`${CONTENTS.length}\n`);
    expect((await cat(folder, ['--count', '--duplicates'])).out).toBe(`${CONTENTS.length + 3}\n`);
    expect((await cat(folder, ['--count', '--key', 'a', '--partition', '0'])).out).toBe('2\n');
    expect((await cat(folder, ['--count', '--latest-per-key'])).out).toBe('4\n');
    const json = JSON.parse((await cat(folder, ['--count', '-o', 'json'])).out);
    expect(json).toEqual({ format: 'tdmq-backup-count/1', messages: CONTENTS.length });
  });

  test('a count of nothing is 0, and a failure as any selection of nothing', async () => {
    const { out, err } = await cat(folder, ['--count', '--grep', 'nowhere'], 1);
    expect(out).toBe('0\n');
    expect(err).toContain('nothing found');
    const { out: json } = await cat(folder, ['--count-by', 'key', '--grep', 'nowhere', '--json'], 1);
    expect(JSON.parse(json).error.message).toContain('nothing found');
  });

  test('counts by key are of exact bytes, and print nothing that a terminal obeys', async () => {
    const { out } = await cat(folder, ['--count-by', 'key']);
    expect(out.split('\n')).toEqual([
      '        1 (no key)',
      '        2 a',
      '        2 b',
      '        1 c\\n\\u001b[31m',
      '        2 d',
      '        2 e',
      '        1 (binary) /wA=',
      '',
    ]);
    const json = JSON.parse((await cat(folder, ['--count-by', 'key', '--json'])).out);
    expect(json).toEqual({
      format: 'tdmq-backup-count/1',
      by: 'key',
      groups: [
        { key: null, messages: 1 },
        { key: 'a', messages: 2 },
        { key: 'b', messages: 2 },
        { key: 'c\n\u001b[31m', messages: 1 },
        { key: 'd', messages: 2 },
        { key: 'e', messages: 2 },
        { keyBase64: '/wA=', messages: 1 },
      ],
      messages: CONTENTS.length,
    });
  });

  test.each([
    ['partition', '        4 0\n        7 1\n'],
    ['hour', [4, 4, 3].map((n, i) => `        ${n} 2026-11-23T${12 + i}:00:00.000Z\n`).join('')],
    ['property:trace', '        5 (no property)\n        2 t0\n        2 t1\n        2 t2\n'],
  ])('counts by %s', async (by, expected) => {
    expect((await cat(folder, ['--count-by', by])).out).toBe(expected);
  });

  test('the latest of each key is what a compacted topic has', async () => {
    const { out, err } = await cat(folder, ['--latest-per-key']);
    expect(valuesOf(out)).toEqual(['a2', 'c1', 'e2', 'x1']);
    expect(err).toContain('1 message without a key');
    expect(err).toContain('2 keys whose last value is null or empty');
    expect((await cat(folder, ['--latest-per-key', '--format', 'value'])).out).toBe('a2\nc1\ne2\nx1\n');
    const withDeleted = await cat(folder, ['--latest-per-key', '--deleted']);
    expect(valuesOf(withDeleted.out)).toEqual(['a2', undefined, 'c1', '', 'e2', 'x1']);
  });

  test('the latest by a time is that of the selection', async () => {
    const { out } = await cat(folder, ['--latest-per-key', '--until', '2026-11-23T13:00Z']);
    expect(valuesOf(out)).toEqual(['a2', 'b1', 'c1']);
  });

  test('nothing that is left of keys is a failure with a reason', async () => {
    expect((await cat(folder, ['--latest-per-key', '--key', 'b'], 1)).err).toContain('--deleted');
    expect((await cat(folder, ['--latest-per-key', '--grep', 'keyless'], 1)).err).toContain('has a key');
  });

  it.each([
    [['--count-by', 'colour'], '--count-by must be'],
    [['--count-by', 'property:'], '--count-by must be'],
    [['--count', '--count-by', 'key'], 'cannot be put together'],
    [['--count-by', 'key', '--latest-per-key'], 'cannot be put together'],
    [['--count', '--format', 'value'], '--format is for records'],
    [['--json', '--format', 'table'], '--format is for records'],
    [['--deleted'], '--deleted is for'],
  ])('refuses %j', async (args, named) => expect((await cat(folder, args, 2)).err).toContain(named));

  test('--json of records is their lines', async () => {
    const { out } = await cat(folder, ['-o', 'json']);
    expect(out).toBe((await cat(folder, [])).out);
    expect(valuesOf(out)).toHaveLength(CONTENTS.length);
  });
});

describe('of an archive that is not', () => {
  test('damage ends a count without a number, or is named beside it', async () => {
    const folder = join(root, 'damaged');
    await makeCopy(folder);
    const [path = ''] = readdirSync(folder, { recursive: true })
      .map(String)
      .filter((one) => one.endsWith('.jsonl.gz'));
    writeFileSync(join(folder, path), readFileSync(join(folder, path)).subarray(0, -20));
    for (const args of [['--count'], ['--count-by', 'key'], ['--latest-per-key']]) {
      const failed = await cat(folder, args, 1);
      expect(failed.out).toBe('');
      expect(failed.err).toContain(path);
      const skipped = await cat(folder, [...args, '--skip-damaged'], 1);
      expect(skipped.out).not.toBe('');
      expect(skipped.err).toContain(path);
    }
  });

  test('what is kept raw is said not to be counted', async () => {
    const folder = join(root, 'raw');
    await makeCopy(folder);
    const raw = join(folder, '_unreadable/t/ns/orders/partition=0/000000000007-0000000099');
    const store = createMemoryStore();
    for (const [end, text] of [
      ['.bin', 'raw'],
      ['.json', '{}'],
    ] as const)
      store.objects.set(`tdmq/${raw.slice(folder.length + 1)}${end}`, {
        ...{ key: '', metadata: {}, contentType: '', crc64: '' },
        bytes: Buffer.from(text),
      });
    writeCopy(store, folder);
    const { out, err } = await cat(folder, ['--count']);
    expect(out).toBe(`${CONTENTS.length}\n`);
    expect(err).toContain('1 entry is kept raw');
    expect((await cat(folder, ['--count', '--partition', '1'])).err).toBe('');
  });
});
