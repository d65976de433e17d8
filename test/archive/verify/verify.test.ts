// Verify finds each damage, names the object and the kind, and takes duplicates for what they are.
import { expect, it } from 'vitest';
import { type VerifyLevel, verifyArchive } from '../../../src/archive/verify/verify.ts';
import { crc64 } from '../../../src/lib/crc64.ts';
import type { MemoryStore } from '../../fakes/memory-store.ts';
import {
  message,
  messages,
  PREFIX,
  sampleArchive,
  storeManifest,
  storeObject,
  tamper,
} from '../archive-fixture.ts';

const verify = (store: MemoryStore, level: VerifyLevel, rest: object = {}) =>
  verifyArchive(store, PREFIX, { level, ...rest });

const kinds = async (store: MemoryStore, level: VerifyLevel, severity = 'damage') =>
  (await verify(store, level)).findings
    .filter((one) => one.severity === severity)
    .map(({ key, kind }) => `${kind} ${key}`)
    .sort();

it.each(['list', 'object', 'record'] as const)(
  'finds nothing wrong with a sound archive at level %s',
  async (level) => {
    const { store } = await sampleArchive();
    const report = await verify(store, level);
    expect(report).toMatchObject({
      objects: 4,
      messages: 30,
      damagedObjects: 0,
      duplicates: 0,
      findings: [],
    });
  },
);

it('downloads no object at level list', async () => {
  const { store } = await sampleArchive();
  store.calls.length = 0;
  await verify(store, 'list');
  expect(store.calls.filter((call) => call.startsWith('read') && call.includes('.jsonl'))).toEqual([]);
});

it('finds a flipped byte, also where the store gives its old checksum', async () => {
  const { store, stored } = await sampleArchive();
  const key = stored[3]?.key as string;
  const flip = (bytes: Buffer) => {
    const at = bytes.lastIndexOf('value');
    bytes[at] = (bytes[at] as number) ^ 1;
    return bytes;
  };
  tamper(store, key, { bytes: flip, silently: true });
  expect(await kinds(store, 'list')).toEqual([]);
  expect(new Set(await kinds(store, 'object'))).toEqual(new Set([`checksum ${key}`]));
  expect(new Set(await kinds(store, 'record'))).toEqual(new Set([`checksum ${key}`]));
});

it('finds by the SHA-256 of the manifest alone that an object of several parts is another', async () => {
  const { store, stored } = await sampleArchive();
  const { key } = stored[1] as { key: string };
  // Neither the metadata nor a CRC-64 reports it.
  const manifestKey = [...store.objects.keys()].find((one) => one.includes('_runs/')) as string;
  const withoutCrc = (bytes: Buffer) => Buffer.from(bytes.toString().replaceAll(/"crc64":"\d+",/g, ''));
  tamper(store, manifestKey, { bytes: withoutCrc });
  expect(await kinds(store, 'object')).toEqual([]);
  tamper(store, key, {
    bytes: (bytes) => bytes.fill('x', bytes.indexOf('value 0'), bytes.indexOf('value 0') + 1),
  });
  expect(await kinds(store, 'list')).toEqual([]);
  expect(await kinds(store, 'object')).toEqual([`checksum ${key}`]);
  expect(await kinds(store, 'record')).toEqual([`checksum ${key}`]);
});

it('finds a flipped byte at level list where the store knows that the bytes are others', async () => {
  const { store, stored } = await sampleArchive();
  const key = stored[1]?.key as string;
  tamper(store, key, { bytes: (bytes) => bytes.fill('x', 5, 6) });
  expect(await kinds(store, 'list')).toEqual([`checksum ${key}`]);
});

it.each([0, 2])('finds an object that was cut, whether compressed or not (%i)', async (index) => {
  const { store, stored } = await sampleArchive();
  const key = stored[index]?.key as string;
  tamper(store, key, { bytes: (bytes) => bytes.subarray(0, bytes.length - 20) });
  expect(await kinds(store, 'list')).toContain(`size ${key}`);
  expect(await kinds(store, 'object')).toContain(`checksum ${key}`);
  expect(await kinds(store, 'record')).toContain(`cut ${key}`);
});

it('finds a removed object by the manifest that names it', async () => {
  const { store, stored } = await sampleArchive();
  const key = stored[0]?.key as string;
  store.objects.delete(key);
  expect(await kinds(store, 'list')).toEqual([`missing ${key}`]);
});

it('reports the gap that a removed object leaves where no manifest names it', async () => {
  const { store } = await sampleArchive();
  const last = await storeObject(store, messages(1, 20, 24));
  expect(await kinds(store, 'list', 'notice')).toEqual([`gap ${last.key}`]);
  expect((await verify(store, 'list')).damagedObjects).toBe(0);
});

it('misses the bytes of an entry that was kept raw where only its reason is there', async () => {
  const { store } = await sampleArchive();
  const bytes = `${PREFIX}_unreadable/t/ns/orders/partition=1/000000000007-0000000010.bin`;
  const put = async (key: string) =>
    store.create(key, { chunks: [Buffer.from('{}')], sizeBytes: 2 }, crc64([Buffer.from('{}')]), {
      metadata: {},
      contentType: 'application/json',
    });
  await put(bytes.replace('.bin', '.json'));
  expect(await kinds(store, 'list')).toEqual([`missing ${bytes}`]);
  await put(bytes);
  expect(await kinds(store, 'list')).toEqual([]);
});

it('counts entries that were kept as unreadable as no gap, and names them', async () => {
  const { store } = await sampleArchive();
  await storeObject(store, messages(1, 11, 12));
  expect(await kinds(store, 'list', 'notice')).toHaveLength(1);
  const raw = `${PREFIX}_unreadable/t/ns/orders/partition=1/000000000007-0000000010.bin`;
  store.objects.set(raw, { key: raw, bytes: Buffer.from('x'), metadata: {}, contentType: '', crc64: '' });
  expect(await kinds(store, 'list', 'notice')).toEqual([`unreadable ${raw}`]);
});

it('finds swapped metadata', async () => {
  const { store, stored } = await sampleArchive();
  const [a, b] = [stored[0]?.key as string, stored[3]?.key as string];
  const metadataOf = (key: string) => store.objects.get(key)?.metadata as Record<string, string>;
  const [ofA, ofB] = [metadataOf(a), metadataOf(b)];
  tamper(store, a, { metadata: ofB });
  tamper(store, b, { metadata: ofA });
  const found = await kinds(store, 'list');
  expect(found).toContain(`metadata ${a}`);
  expect(found).toContain(`metadata ${b}`);
});

it('finds a duplicated line, a line that is no record and a missing line', async () => {
  const { store, stored } = await sampleArchive();
  const keys = stored.map(({ key }) => key);
  const lines = (change: (lines: string[]) => string[]) => (bytes: Buffer) =>
    Buffer.from(`${change(bytes.toString().trimEnd().split('\n')).join('\n')}\n`);
  tamper(store, keys[0] as string, {
    bytes: lines(([first, ...rest]) => [first as string, first as string, ...rest]),
  });
  tamper(store, keys[1] as string, { bytes: lines((all) => all.with(3, '{"id":1}')) });
  tamper(store, keys[3] as string, { bytes: lines((all) => all.toSpliced(2, 1)) });
  const found = await kinds(store, 'record');
  expect(found).toContain(`duplicate-line ${keys[0]}`);
  expect(found).toContain(`record ${keys[1]}`);
  expect(found).toContain(`count ${keys[3]}`);
});

it('calls equal messages in two objects duplicates, and others a conflict', async () => {
  const { store } = await sampleArchive();
  const copy = await storeObject(store, messages(0, 15, 22));
  await storeManifest(store, [copy], 'r-2');
  const report = await verify(store, 'record');
  expect(report).toMatchObject({ damagedObjects: 0, duplicates: 5 });
  expect(report.findings.map(({ kind }) => kind).sort()).toEqual(['duplicates', 'overlap']);
  await storeObject(store, [message(1, 7, { payload: Buffer.from('other') }), message(1, 10)]);
  expect(await kinds(store, 'record')).toEqual([expect.stringContaining('conflict')]);
});

it('finds nothing wrong with an object that fills what another leaves out between its ends', async () => {
  const { store } = await sampleArchive();
  const others = messages(0, 20, 39);
  const around = await storeObject(store, [...others.slice(0, 5), ...others.slice(9)]);
  const between = await storeObject(store, others.slice(5, 9));
  await storeManifest(store, [around, between], 'r-2');
  expect(await verify(store, 'record')).toMatchObject({
    messages: 50,
    duplicates: 0,
    damagedObjects: 0,
    findings: [],
  });
  expect(await kinds(store, 'list')).toEqual([]);
});

it('takes messages of a Shared subscription that are in no order for no damage', async () => {
  const { store } = await sampleArchive();
  await storeObject(store, [message(1, 20), message(1, 18), message(1, 21)]);
  const report = await verify(store, 'record');
  expect(report.damagedObjects).toBe(0);
  expect(report.findings.map(({ kind }) => kind)).toEqual(['unordered']);
});

it('goes on where an earlier verification stopped', async () => {
  const { store } = await sampleArchive();
  const known = new Map();
  await verify(store, 'record', {
    onInspected: (object: { key: string }, one: object) => known.set(object.key, one),
  });
  store.calls.length = 0;
  const report = await verify(store, 'record', { known: ({ key }: { key: string }) => known.get(key) });
  expect(report).toMatchObject({ messages: 30, damagedObjects: 0 });
  expect(store.calls.filter((call) => call.startsWith('read') && call.includes('.jsonl'))).toEqual([]);
});

it('ends with the failure of a store that cannot be read', async () => {
  const { store } = await sampleArchive();
  store.hook = (when, call, key) => {
    if (when === 'before' && call === 'read' && key.endsWith('.gz')) throw new Error('no route');
  };
  await expect(verify(store, 'object')).rejects.toThrow('no route');
});

it.each(['object', 'record'] as const)(
  'names what is removed between the listing and the reading at level %s, and goes on',
  async (level) => {
    const { store } = await sampleArchive();
    const key = [...store.objects.keys()].find((one) => one.endsWith('.jsonl')) as string;
    const manifest = [...store.objects.keys()].find((one) => one.includes('/_runs/')) as string;
    const asked = new Set<string>();
    store.hook = (when, call, read) => {
      if (when !== 'before' || call !== 'read' || asked.has(read)) return;
      asked.add(read);
      if (read === key || read === manifest) store.objects.delete(read);
    };
    const report = await verify(store, level);
    expect(report.findings.filter(({ severity }) => severity === 'damage')).toEqual([
      { key, severity: 'damage', kind: 'missing', detail: 'it was listed, and is not there any more' },
    ]);
    expect(report).toMatchObject({ objects: 4, damagedObjects: 1 });
  },
);

it('mentions at level list that an object is there twice, also where nobody says how far it reaches', async () => {
  const { store, stored } = await sampleArchive();
  const key = stored.find((one) => one.key.endsWith('.jsonl'))?.key as string;
  const second = key.replace(/date=[-\d]+/, 'date=2026-11-01');
  store.objects.set(second, { ...store.objects.get(key), key: second } as never);
  const { findings } = await verify(store, 'list', { knowsMetadata: false });
  expect(findings.filter(({ kind }) => kind === 'overlap').map((one) => one.key)).toEqual([key]);
});
