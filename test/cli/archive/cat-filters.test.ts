// What `archive cat` looks for in messages: a text, a value at a path, what was stored by a time.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, test, vi } from 'vitest';
import { main } from '../../../src/cli/main.ts';
import { storeRunManifest } from '../../../src/format/run-manifest.ts';
import type { Message } from '../../../src/ports.ts';
import { message, PREFIX, storeManifest, storeObject } from '../../archive/archive-fixture.ts';
import { writeCopy } from '../../archive/archive-folder.ts';
import { createMemoryStore, type MemoryStore } from '../../fakes/memory-store.ts';
import { startLoopbackStage, TOPIC } from '../../stage/loopback-stage.ts';
import { testTerminal } from '../terminal.ts';

const root = mkdtempSync(join(tmpdir(), 'tdmq-backup-filters-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** What cat prints of a folder; the numbers of the messages, as `partition/entry`. */
async function cat(folder: string, args: readonly string[], expectedCode = 0) {
  const { terminal, out, err } = testTerminal();
  expect(await main(['archive', 'cat', '--folder', folder, ...args], terminal), err()).toBe(expectedCode);
  return { out: out(), err: err() };
}

async function found(folder: string, args: readonly string[]): Promise<string[]> {
  const { out } = await cat(folder, args);
  return [...out.matchAll(/^\{"id":"7:(\d+):(\d+):/gm)].map(
    ([, entry, partition]) => `${partition}/${entry}`,
  );
}

describe('a text or a value', () => {
  const folder = join(root, 'contents');
  const of = (entry: number, value: string | Buffer | null, rest: Partial<Message> = {}) =>
    message(entry % 2, entry, {
      ...{ key: undefined, properties: [] },
      payload: value === null ? null : Buffer.from(value),
      ...rest,
    });
  const CONTENTS = [
    of(0, '{"customer":{"id":7},"note":"say \\"hi\\"","lines":[{"sku":"A"},{"sku":"B"}]}'),
    of(1, '{"customer":{"id":"7"},"a.b":true,"big":12345678901234567890}'),
    of(2, 'plain text with "customer" and é and 😀'),
    of(3, Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from('customer é')])),
    of(4, null, { key: 'customer-9' }),
    of(5, 'x', { key: Buffer.from([0xff, ...Buffer.from('secret')]), properties: [['trace', 'a/b\nc']] }),
    of(6, '', { properties: [['needle', Buffer.from([0xfe, ...Buffer.from('hay')])]] }),
    of(7, '{"customer":{"name":"caf\\u00e9"}}'),
    of(8, `{"fill":"${'-'.repeat(100_000)}","tail":"customer 😀"}`),
  ];

  beforeAll(async () => {
    const store = createMemoryStore();
    const stored = [
      await storeObject(
        store,
        CONTENTS.filter(({ id }) => id.partition === 0),
        { compression: 'gzip' },
      ),
      await storeObject(
        store,
        CONTENTS.filter(({ id }) => id.partition === 1),
      ),
    ];
    await storeManifest(store, stored);
    writeCopy(store, folder);
  });

  test.each<[string[], string[]]>([
    [
      ['--grep', 'customer'],
      ['0/0', '1/1', '0/2', '1/3', '0/4', '1/7', '0/8'],
    ],
    [['--grep', 'say \\"hi\\"'], ['0/0']],
    [
      ['--grep', '"customer"'],
      ['0/0', '1/1', '0/2', '1/7'],
    ],
    [
      ['--grep', 'é'],
      ['0/2', '1/3'],
    ],
    [
      ['--grep', '😀'],
      ['0/2', '0/8'],
    ],
    [['--grep', 'secret'], ['1/5']],
    [['--grep', 'b\nc'], ['1/5']],
    [['--grep', 'needle'], ['0/6']],
    [['--grep', 'hay'], ['0/6']],
    [['--grep', 'café'], []],
    [['--value-path', 'customer.name=café'], ['1/7']],
    [['--grep', 'Customer'], []],
    [['--grep', 'publishTime'], []],
    [
      ['--grep', 'customer', '--grep', 'é'],
      ['0/2', '1/3'],
    ],
    [['--grep', 'customer', '--partition', '1', '--until', '2026-11-23T12:00:03Z'], ['1/1']],
    [
      ['--value-path', 'customer.id=7'],
      ['0/0', '1/1'],
    ],
    [['--value-path', 'customer.id="7"'], ['1/1']],
    [['--value-path', 'lines.sku=B'], ['0/0']],
    [['--value-path', 'lines.0.sku=B'], []],
    [['--value-path', 'a\\.b=true'], ['1/1']],
    [['--value-path', 'big=12345678901234567890'], ['1/1']],
    [['--value-path', 'big=12345678901234567891'], []],
    [['--value-path', 'customer.id=7', '--grep', 'hi'], ['0/0']],
  ])('%j finds %j', async (args, expected) => {
    if (expected.length === 0) expect((await cat(folder, args, 1)).err).toContain('nothing found');
    else expect(await found(folder, args)).toEqual(expected);
  });

  it.each([
    [['--grep', ''], '--grep'],
    [['--value-path', 'a'], '--value-path'],
    [['--stored-until', 'yesterday'], '--stored-until'],
  ])('refuses %j', async (args, named) => expect((await cat(folder, args, 2)).err).toContain(named));
});

describe('what was stored by a time', () => {
  const T = (minute: number) => new Date(Date.UTC(2026, 10, 23, 14, minute));
  let store: MemoryStore;

  /** Three objects: of a run at 14:00, of one at 14:10, and of one that was killed at 14:20. */
  async function archive() {
    store = createMemoryStore();
    const stored = [0, 1, 2].map((i) => storeObject(store, [message(0, i)]));
    const [first, second, third] = await Promise.all(stored);
    const run = async (minute: number, requestId: string, objects: object[]) =>
      storeRunManifest(
        store,
        PREFIX,
        {
          ...{ rule: 'orders-backup', requestId, startedAt: T(minute).toISOString(), durationMs: 30_000 },
          ...{ stopReason: 'caught_up', messages: 1, recordBytes: 0, objects: 1, alreadyStored: 0 },
          ...{ unreadable: 0, partitions: 1 },
        },
        objects as never,
        {},
      );
    await run(0, 'r-0', [first as object]);
    await run(10, 'r-1', [second as object]);
    return { third, run };
  }
  const minuteOf = (key: string) => Number(/-(\d{10})-/.exec(key)?.[1] ?? 0) * 10;

  test.each([
    ['13:59', []],
    ['14:00', []],
    ['14:00:30', ['0/0']],
    ['14:05', ['0/0']],
    ['14:10:29', ['0/0']],
    ['14:11', ['0/0', '0/1']],
  ])(
    'of a copy that has lost the times of its files, the manifests answer for %s',
    async (time, expected) => {
      await archive();
      const folder = mkdtempSync(join(root, 'lost-'));
      writeCopy(store, folder);
      const args = ['--stored-until', `2026-11-23T${time}Z`];
      if (expected.length === 0) await cat(folder, args, 1);
      else expect(await found(folder, args)).toEqual(expected);
      const epoch = mkdtempSync(join(root, 'epoch-'));
      writeCopy(store, epoch, () => new Date(0));
      const { third } = await archive();
      // What no manifest names has the time of its file, and that is said.
      if (expected.length > 0) {
        const { out, err } = await cat(epoch, args);
        expect(out).toContain(`"id":"${third?.firstId}"`);
        expect(err).toContain('1 object that no manifest names has the time of its file');
      }
    },
  );

  it('takes the times of files where they are those of the runs', async () => {
    await archive();
    const folder = mkdtempSync(join(root, 'kept-'));
    writeCopy(store, folder, (key) => new Date(T(minuteOf(key)).getTime() + 5_000));
    expect(await found(folder, ['--stored-until', '2026-11-23T14:00:05Z'])).toEqual(['0/0']);
    expect(await found(folder, ['--stored-until', '2026-11-23T14:20:05Z'])).toEqual(['0/0', '0/1', '0/2']);
  });

  it('does not take the time at which a later run or a command found an object for that of storing it', async () => {
    const { run, third } = await archive();
    await run(30, 'archive-index', [{ ...third, alreadyStored: true }]);
    const folder = mkdtempSync(join(root, 'found-'));
    writeCopy(store, folder, (key) => T(minuteOf(key)));
    expect(await found(folder, ['--stored-until', '2026-11-23T14:20Z'])).toEqual(['0/0', '0/1', '0/2']);
    await run(40, 'r-4', [{ ...third, alreadyStored: true }]);
    writeCopy(store, folder, (key) => T(minuteOf(key)));
    expect(await found(folder, ['--stored-until', '2026-11-23T14:20Z'])).toEqual(['0/0', '0/1', '0/2']);
  });

  it('misses what is gone only where it was there by then', async () => {
    await archive();
    const gone = [...store.objects.keys()].find((key) => key.includes('-0000000001-')) as string;
    store.objects.delete(gone);
    const folder = mkdtempSync(join(root, 'gone-'));
    writeCopy(store, folder);
    expect(await found(folder, ['--stored-until', '2026-11-23T14:05Z'])).toEqual(['0/0']);
    expect((await cat(folder, ['--stored-until', '2026-11-23T14:15Z'], 1)).err).toContain('is not there');
  });

  it('takes the times that COS has of the objects of a bucket', async () => {
    const rule = await startLoopbackStage();
    try {
      const cat = async (...args: string[]) => {
        const { terminal, out } = testTerminal(rule.env);
        return { code: await main(['archive', 'cat', ...args], terminal), out: out() };
      };
      rule.broker.publish(TOPIC, [{ payload: 'first' }]);
      expect(await main(['run'], testTerminal(rule.env).terminal)).toBe(0);
      const between = Date.now();
      // COS tells times to the second.
      await vi.waitUntil(() => Date.now() >= between + 1_000, { timeout: 5_000 });
      rule.broker.publish(TOPIC, [{ payload: 'second' }]);
      expect(await main(['run'], testTerminal(rule.env).terminal)).toBe(0);
      const until = ['--stored-until', new Date(between).toISOString()];
      expect(await cat(...until, '--format', 'value')).toEqual({ code: 0, out: 'first\n' });
      expect(await cat(...until, '--count')).toEqual({ code: 0, out: '1\n' });
      expect((await cat('--stored-until', '2026-01-01')).code).toBe(1);
      expect(await cat('--stored-until', new Date().toISOString(), '--count')).toEqual({
        code: 0,
        out: '2\n',
      });
    } finally {
      await rule.close();
    }
  });
});
