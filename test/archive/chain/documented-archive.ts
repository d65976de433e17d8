// An archive as docs/format.md describes it, made from that page alone: nothing of the product writes it. Its objects
// hold one message for each entry; its runs follow on each other by default.
import { createHash } from 'node:crypto';
import { crc64 } from '../../../src/lib/crc64.ts';
import { createMemoryStore, type MemoryStore } from '../../fakes/memory-store.ts';

export const PREFIX = 'backup/';
const DAY_MS = 86_400_000;
const FIRST_DAY = Date.UTC(2026, 10, 1);

/** Noon of a day, counted from 0, and so many minutes later. */
export const at = (day: number, minutes = 0): number => FIRST_DAY + (day + 0.5) * DAY_MS + minutes * 60_000;

/** `7:3-9` of a partition: entries 3 to 9 of ledger 7; without those after `but`. */
interface ObjectOptions {
  readonly partition?: number;
  readonly entries: string;
  readonly but?: readonly number[];
  /** When its first message was published; that of the run by default. */
  readonly publishedMs?: number;
  /** As an object of several parts: its metadata does not say where it ends. */
  readonly isMultipart?: boolean;
}

export interface RunOptions {
  readonly startedMs: number;
  readonly durationMs?: number;
  readonly name?: string;
  readonly rule?: string;
  readonly topic?: string;
  readonly subscription?: string;
  readonly type?: string;
  /** By partition: `begin`, `end` and `last`, as `7:9`, separated by spaces; `-` is left out. */
  readonly positions?: Readonly<Record<number, string>>;
  readonly objects?: readonly ObjectOptions[];
  readonly moved?: readonly object[];
  /** The manifest it names; that of the run before by default. */
  readonly previous?: string | undefined;
  readonly beside?: readonly string[];
  /** Killed before it could leave its manifest. */
  readonly isKilled?: boolean;
  /** As runs of before left it: without what says how runs follow on each other. */
  readonly isOld?: boolean;
  readonly more?: object;
}

export interface DocumentedRun {
  readonly manifest: string;
  readonly objects: readonly string[];
}

export interface DocumentedArchive {
  readonly store: MemoryStore;
  run(options: RunOptions): DocumentedRun;
  /** Removes objects. */
  remove(...keys: readonly (string | readonly string[])[]): void;
  /** Changes the bytes of an object. */
  change(key: string, change: (text: string) => string): void;
  readonly runs: readonly DocumentedRun[];
}

export function documentedArchive(): DocumentedArchive {
  const store = createMemoryStore();
  const runs: DocumentedRun[] = [];
  const newest = new Map<string, string>();
  const put = (key: string, bytes: Buffer, metadata: Record<string, string>) =>
    store.objects.set(key, { key, bytes, metadata, contentType: '', crc64: crc64([bytes]) });

  function run(options: RunOptions): DocumentedRun {
    const { startedMs, rule = 'orders-backup', topic = 't/ns/orders', name = `r-${runs.length}` } = options;
    const stored = (options.objects ?? []).map((one) => storeObject(topic, rule, startedMs, one));
    const start = new Date(startedMs).toISOString();
    const folder = `${PREFIX}_runs/rule=${rule}/date=${start.slice(0, 10)}/`;
    const manifest = `${folder}${start.replaceAll(/[-:.]/g, '')}-${name}.json`;
    const before = 'previous' in options ? options.previous : newest.get(rule);
    const seen = before === undefined ? undefined : store.objects.get(before);
    const link = {
      topic: `persistent://${topic}`,
      subscription: options.subscription ?? 'backup',
      subscriptionType: options.type ?? 'exclusive',
      positions: Object.entries(options.positions ?? {}).map(([partition, text]) =>
        positionOf(partition, text),
      ),
      ...(before !== undefined && { previous: { key: before, ...(seen && { sha256: sha256(seen.bytes) }) } }),
      ...(options.beside && { beside: options.beside }),
      ...(options.moved && { moved: options.moved }),
    };
    const content = {
      format: 'tdmq-backup-run/1',
      ...{ rule, requestId: name, startedAt: start, durationMs: options.durationMs ?? 20_000 },
      ...{ stopReason: 'caught_up', messages: 0, recordBytes: 0, objects: stored.length },
      ...{ alreadyStored: 0, unreadable: 0, partitions: 2 },
      ...(options.isOld ? {} : link),
      storedObjects: stored,
      ...options.more,
    };
    if (options.isKilled !== true) {
      put(manifest, Buffer.from(`${JSON.stringify(content)}\n`), { format: 'tdmq-backup-run/1', rule });
      newest.set(rule, manifest);
    }
    const one = { manifest, objects: stored.map(({ key }) => key) };
    runs.push(one);
    return one;
  }

  function storeObject(topic: string, rule: string, startedMs: number, options: ObjectOptions) {
    const {
      partition = 0,
      entries,
      but = [],
      publishedMs = startedMs - 60_000,
      isMultipart = false,
    } = options;
    const [ledger, from, to] = (/^(\d+):(\d+)-(\d+)$/.exec(entries) as string[]).slice(1).map(Number) as [
      number,
      number,
      number,
    ];
    const ids = Array.from({ length: to - from + 1 }, (_, i) => from + i).filter((id) => !but.includes(id));
    const time = (index: number) => new Date(publishedMs + index).toISOString();
    const idOf = (entry: number | undefined) => `${ledger}:${entry}:${partition}:-1`;
    const lines = ids.map((entry, index) =>
      JSON.stringify({
        id: idOf(entry),
        topic: `persistent://${topic}${partition < 0 ? '' : `-partition-${partition}`}`,
        publishTime: time(index),
        properties: {},
        value: `message ${entry}`,
      }),
    );
    const bytes = Buffer.from(`${lines.join('\n')}\n`);
    const place = `${String(ledger).padStart(12, '0')}-${String(ids[0]).padStart(10, '0')}-00000`;
    const partitionText = partition < 0 ? 'none' : partition;
    const key = `${PREFIX}${topic}/date=${time(0).slice(0, 10)}/partition=${partitionText}/${place}.jsonl`;
    const ends = {
      firstId: idOf(ids[0]),
      lastId: idOf(ids.at(-1)),
      firstPublishTime: time(0),
      lastPublishTime: time(ids.length - 1),
    };
    put(key, bytes, {
      ...{
        format: 'tdmq-backup/1',
        rule,
        'first-id': ends.firstId,
        'first-publish-time': ends.firstPublishTime,
      },
      ...(!isMultipart && {
        ...{ 'last-id': ends.lastId, 'last-publish-time': ends.lastPublishTime },
        ...{ messages: String(ids.length), 'record-bytes': String(bytes.length), sha256: sha256(bytes) },
      }),
    });
    const checksums = { crc64: crc64([bytes]), sha256: sha256(bytes) };
    const sizes = { messages: ids.length, recordBytes: bytes.length, size: bytes.length };
    return { key, partition, ...sizes, ...ends, ...checksums, alreadyStored: false };
  }

  return {
    ...{ store, runs, run },
    remove(...keys) {
      for (const key of keys.flat()) if (!store.objects.delete(key)) throw new Error(`no ${key}`);
    },
    change(key, change) {
      const object = store.objects.get(key);
      if (object === undefined) throw new Error(`no ${key}`);
      put(key, Buffer.from(change(object.bytes.toString())), { ...object.metadata });
    },
  };
}

function positionOf(partition: string, text: string): object {
  const [begin, end, last] = text.split(' ').map((one) => (one === '-' ? undefined : one));
  return {
    partition: Number(partition),
    ...(begin && { begin }),
    ...(end && { end }),
    ...(last && { last }),
  };
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
