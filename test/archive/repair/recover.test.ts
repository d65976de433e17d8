// What was kept raw becomes ordinary objects: all of it, once, in its place, whenever the command was killed.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { byPartition } from '../../../src/archive/catalog/catalog.ts';
import { readCatalog } from '../../../src/archive/catalog/read-catalog.ts';
import { readPartition } from '../../../src/archive/read/read-messages.ts';
import { type RecoverOptions, recoverArchive } from '../../../src/archive/repair/recover.ts';
import { verifyArchive } from '../../../src/archive/verify/verify.ts';
import { formatMessageId } from '../../../src/format/record.ts';
import { storeUnreadable } from '../../../src/format/unreadable.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { crc64 } from '../../../src/lib/crc64.ts';
import { encodeEntry } from '../../../src/local/broker/frames.ts';
import type { RawEntry } from '../../../src/ports.ts';
import { parseTopicName, type TopicName } from '../../../src/topic-name.ts';
import { createMemoryStore, type MemoryStore } from '../../fakes/memory-store.ts';
import { message, messages, PREFIX, storeManifest, storeObject } from '../archive-fixture.ts';

const OLD = fileURLToPath(new URL('../../fixtures/golden/unreadable-v1', import.meta.url));
const TOPIC = parseTopicName('t/ns/orders') as TopicName;

const recover = (store: MemoryStore, options: Partial<RecoverOptions> = {}) =>
  recoverArchive(store, PREFIX, {
    knowsMetadata: true,
    limitBytes: 10_000_000,
    rule: 'archive',
    compression: 'none',
    isDry: false,
    parallel: 2,
    clock: systemClock,
    ...options,
  });

/** The raw objects that a version left that could not read Java's ZLIB, and knew no borders. */
async function storeOldRaw(store: MemoryStore): Promise<void> {
  for (const name of readdirSync(OLD, { recursive: true, encoding: 'utf8' })) {
    if (!statSync(join(OLD, name)).isFile()) continue;
    const bytes = readFileSync(join(OLD, name));
    const attributes = {
      metadata: { format: 'tdmq-backup-unreadable/1', rule: 'orders-backup' },
      contentType: '',
    };
    const body = { chunks: [bytes], sizeBytes: bytes.length };
    await store.create(`${PREFIX}${name}`, body, crc64([bytes]), attributes);
  }
}

/** Keeps entries of partition 0 raw, as today. */
function keepRaw(store: MemoryStore, ...raw: RawEntry[]): Promise<string> {
  const entry = {
    kind: 'unreadable' as const,
    id: (raw.at(-1) as RawEntry).id,
    topic: `${TOPIC.full}-partition-0`,
    reason: 'it could not be read',
    raw,
  };
  return storeUnreadable(store, 'orders-backup', PREFIX, TOPIC, 0, entry, {});
}

const metadataOf = (entryId: number) => ({
  producerName: 'p',
  sequenceId: entryId,
  publishTime: message(0, entryId).publishTimeMs,
});
const single = (entryId: number, text: string, rest: object = {}): RawEntry => ({
  id: { ledgerId: 7, entryId },
  bytes: encodeEntry({ ...metadataOf(entryId), ...rest }, Buffer.from(text)),
});
const chunk = (entryId: number, chunkId: number, chunks: number, text: string) =>
  single(entryId, text, {
    publishTime: message(0, 0).publishTimeMs,
    uuid: 'u',
    chunkId,
    numChunksFromMsg: chunks,
    totalChunkMsgSize: text.length * chunks,
  });

async function read(store: MemoryStore): Promise<{ id: string; text: string | undefined }[]> {
  const { objects } = await readCatalog(store, PREFIX);
  const all: { id: string; text: string | undefined }[] = [];
  for (const own of byPartition(objects).values()) {
    for await (const one of readPartition(store, own, {}))
      all.push({
        id: formatMessageId(one.message.id),
        text: one.message.payload === null ? undefined : Buffer.from(one.message.payload).toString(),
      });
  }
  return all;
}

const outcomes = ({ outcomes }: Awaited<ReturnType<typeof recover>>) =>
  outcomes.map(({ outcome }) => outcome);

describe('an archive that an older version left raw', () => {
  it('is recovered completely, in message order, with its manifest', async () => {
    const store = createMemoryStore();
    await storeOldRaw(store);
    const stored = [
      await storeObject(
        store,
        [0, 1, 4, 5, 9, 10].map((entryId) => message(0, entryId)),
      ),
    ];
    await storeManifest(store, stored);
    const result = await recover(store);
    expect(outcomes(result)).toEqual(['recovered', 'recovered', 'recovered', 'remaining']);
    expect(result.outcomes.at(-1)?.reason).toBe('its checksum (CRC-32C) does not match');
    const all = await read(store);
    expect(all.map(({ id }) => id)).toEqual([
      ...['7:0:0:-1', '7:1:0:-1', '7:2:0:-1', '7:3:0:0', '7:3:0:1', '7:3:0:2'],
      ...['7:4:0:-1', '7:5:0:-1', '7:8:0:-1', '7:9:0:-1', '7:10:0:-1'],
    ]);
    expect(all[2]?.text).toBe('hello');
    expect(all.slice(3, 6).map(({ text }) => text)).toEqual(['a', 'b', undefined]);
    expect(all[8]?.text?.split('\n')).toHaveLength(400);
    const catalog = await readCatalog(store, PREFIX);
    expect(catalog.raw.map(({ recoveredBy }) => recoveredBy)).toEqual([
      ...['manifest', 'manifest', 'manifest', undefined],
    ]);
    expect(catalog.objects.map(({ manifest }) => manifest?.messages)).toEqual([6, 1, 3, 1]);
    expect(result.manifests[0]).toContain('_runs/rule=orders-backup/');
  });

  it('is sound afterwards: no overlaps, no gaps but lost entries, and what is left is named', async () => {
    const store = createMemoryStore();
    await storeOldRaw(store);
    await storeManifest(store, [
      await storeObject(
        store,
        [0, 1, 4, 5].map((entryId) => message(0, entryId)),
      ),
      await storeObject(store, messages(0, 9, 11)),
      await storeObject(store, messages(0, 13, 14)),
    ]);
    const before = await verifyArchive(store, PREFIX, { level: 'record' });
    expect(before.findings.filter(({ kind }) => kind === 'unreadable')).toHaveLength(4);
    await recover(store);
    const { findings, ...counts } = await verifyArchive(store, PREFIX, { level: 'record' });
    expect(counts).toMatchObject({ damagedObjects: 0, duplicates: 0, unreadable: 4, recovered: 3 });
    expect(findings.map(({ kind, key }) => [kind, key.split('/').at(-1)])).toEqual([
      ['unreadable', '000000000007-0000000012.bin'],
      // The first chunks of 7:8 were entries 6 and 7.
      ['gap', '000000000007-0000000008-00000.jsonl'],
    ]);
  });
});

describe('recover', () => {
  it('recovers nothing the second time, and reads nothing for it', async () => {
    const store = createMemoryStore();
    await storeOldRaw(store);
    await recover(store);
    const keys = [...store.objects.keys()];
    store.calls.length = 0;
    const again = await recover(store);
    expect(again).toMatchObject({ raw: 4, recoveredBefore: 3, manifests: [] });
    expect(outcomes(again)).toEqual(['remaining']);
    expect([...store.objects.keys()]).toEqual(keys);
    expect(store.calls.filter((call) => call.includes('.jsonl'))).toEqual([]);
  });

  it('a dry run stores nothing, and reports the same', async () => {
    const store = createMemoryStore();
    await storeOldRaw(store);
    const before = [...store.objects.keys()];
    const dry = await recover(store, { isDry: true });
    expect([...store.objects.keys()]).toEqual(before);
    expect(dry.outcomes).toEqual((await recover(store)).outcomes);
  });

  it('killed at any call it is complete when it is called again, each message once', async () => {
    for (let at = 0; ; at++) {
      const store = createMemoryStore();
      await storeOldRaw(store);
      let calls = 0;
      store.hook = (when) => {
        if (when === 'after' && calls++ === at) throw new Error('killed');
        if (calls > at) throw new Error('killed');
      };
      const killed = await recover(store, { parallel: 1 }).then(
        () => false,
        () => true,
      );
      store.hook = undefined;
      const result = await recover(store);
      expect(result.outcomes.filter(({ outcome }) => outcome === 'remaining')).toHaveLength(1);
      expect((await read(store)).map(({ id }) => id)).toEqual([
        ...['7:2:0:-1', '7:3:0:0', '7:3:0:1', '7:3:0:2', '7:8:0:-1'],
      ]);
      const { raw, objects } = await readCatalog(store, PREFIX);
      expect(raw.filter(({ recoveredBy }) => recoveredBy === 'manifest')).toHaveLength(3);
      expect(objects.every(({ manifest }) => manifest !== undefined)).toBe(true);
      if (!killed) break;
    }
  });

  it('joins chunks that were kept apart, also of other runs', async () => {
    const store = createMemoryStore();
    await keepRaw(store, chunk(4, 0, 3, 'one '));
    await keepRaw(store, chunk(6, 1, 3, 'two '));
    const incomplete = await recover(store);
    expect(incomplete.outcomes.map(({ reason }) => reason)).toEqual([
      ...Array(2).fill('it is a chunked message; chunk 2 of 3 is missing'),
    ]);
    await keepRaw(store, chunk(7, 1, 3, 'two '), chunk(9, 2, 3, 'end '));
    expect(outcomes(await recover(store))).toEqual(['recovered', 'recovered', 'recovered']);
    expect(await read(store)).toEqual([{ id: '7:9:0:-1', text: 'one two end ' }]);
    expect((await recover(store)).outcomes).toEqual([]);
  });

  it('stores nothing that an object of a run holds already, and says so', async () => {
    const store = createMemoryStore();
    await keepRaw(
      store,
      single(3, 'value 0/3', { partitionKey: 'k0', properties: [{ key: 'n', value: '3' }] }),
    );
    const stored = await storeObject(store, messages(0, 0, 9));
    await storeManifest(store, [stored]);
    const result = await recover(store);
    expect(result.outcomes).toMatchObject([{ outcome: 'already', objects: [stored.key] }]);
    expect(await read(store)).toHaveLength(10);
    expect((await recover(store)).recoveredBefore).toBe(1);
  });

  it('replaces nothing where another object stands, and goes on with the others', async () => {
    const store = createMemoryStore();
    await keepRaw(store, single(3, 'ours'));
    await keepRaw(store, single(5, 'free'));
    const other = await storeObject(store, [message(0, 3)]);
    const bytes = store.objects.get(other.key)?.bytes;
    const result = await recover(store);
    expect(result.outcomes).toMatchObject([
      { outcome: 'remaining', reason: expect.stringContaining(`${other.key} exists and does not hold`) },
      { outcome: 'recovered' },
    ]);
    expect(store.objects.get(other.key)?.bytes).toBe(bytes);
  });

  it('counts an entry without messages as recovered, and stores nothing for it', async () => {
    const store = createMemoryStore();
    await keepRaw(store, single(3, '', { numMessagesInBatch: 0 }));
    expect((await recover(store)).outcomes).toMatchObject([{ outcome: 'recovered', objects: [] }]);
    expect((await recover(store)).recoveredBefore).toBe(1);
  });

  it('lists what is encrypted, of an unknown codec, or no entry at all, each with its reason', async () => {
    const store = createMemoryStore();
    const encryptionKeys = [{ key: 'k', value: Buffer.alloc(256) }];
    await keepRaw(store, single(1, 'x', { encryptionKeys }));
    await keepRaw(store, single(2, 'x', { compression: 9, uncompressedSize: 1 }));
    await keepRaw(store, { id: { ledgerId: 7, entryId: 3 }, bytes: Buffer.from('rubbish') });
    await keepRaw(store, { id: { ledgerId: 7, entryId: 4 }, bytes: Buffer.alloc(0) });
    const { outcomes: left } = await recover(store);
    expect(left.map(({ reason }) => reason)).toEqual([
      expect.stringContaining('--private-key'),
      'its compression type 9 is not known',
      expect.stringContaining('metadata'),
      'it has no metadata',
    ]);
  });
});
