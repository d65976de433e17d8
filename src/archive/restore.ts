// Publishes the messages of an archive to a topic: in order per partition, each once, with its old id and publish time as
// properties. A message's sequence id is its place in what is restored of its partition, so that a restore that was
// killed goes on where the broker's receipts, or its deduplication, say.
import { BackupError } from '../errors.ts';
import { formatMessageId, formatTime } from '../format/record.ts';
import { createSlots } from '../lib/semaphore.ts';
import type {
  Clock,
  Message,
  ObjectStore,
  OutgoingMessage,
  ProducerCompression,
  Publisher,
  TimeMs,
  TopicProducer,
} from '../ports.ts';
import { partitionTopic, type TopicName } from '../topic-name.ts';
import type { ArchiveObject, RawObject } from './catalog.ts';
import { readRaw } from './raw-entries.ts';
import { type DamagedObject, mergeById, readPartition } from './read-messages.ts';
import { type Acknowledged, createProgress, type RestoreProgress } from './restore-progress.ts';
import { inPlaces, routedBy } from './restore-raw.ts';
import { choosePartition } from './restore-routing.ts';
import type { Selection } from './selection.ts';

/** Properties that a restored message has besides its own. */
export const ID_PROPERTY = 'tdmq-backup-id';
export const PUBLISH_TIME_PROPERTY = 'tdmq-backup-publish-time';

const WINDOW_BYTES = 64 * 1_048_576;
const MAX_WINDOW_BYTES = 8 * 1_048_576;
/** Partitions of the archive that are read at a time. */
const PARALLEL = 8;
/** About what a message takes besides its payload. */
const MESSAGE_OVERHEAD_BYTES = 200;
/** How long a restore that fails or is stopped waits for the receipts of what is on its way. */
const LAST_RECEIPTS_MS = 500;
/** The largest piece of time that a rate limit lets messages go at once. */
const PACE_MS = 50;

export interface RestoreOptions {
  readonly store: ObjectStore;
  /** Of one topic, in the catalog's order. */
  readonly objects: readonly ArchiveObject[];
  /** What of the raw entries is published too, each entry as it is; in the catalog's order. */
  readonly raw: readonly RawObject[];
  readonly selection: Selection;
  readonly target: TopicName;
  /** `undefined`: nothing is published, only counted. */
  readonly publisher: Publisher | undefined;
  /** Partitions of the topic that was backed up; 0 for a plain topic. */
  readonly sourcePartitions: number;
  /** Partitions of the target; 0 for a plain topic. */
  readonly targetPartitions: number;
  /** By partition where both have as many; `same` and `key` decide it. */
  readonly route: 'auto' | 'same' | 'key';
  /** Names the producers: the same for each try of one restore, and never the same for two. */
  readonly restoreId: string;
  /** Whether this goes on with one that was begun. */
  readonly isResumed: boolean;
  readonly compression: ProducerCompression;
  readonly batching: boolean;
  readonly messagesPerSecond: number | undefined;
  /** What earlier tries have published. */
  readonly acknowledged: Acknowledged;
  /** Called now and then, and at the end however that comes; never side by side. */
  readonly save: (acknowledged: Acknowledged) => Promise<void>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onProgress?: (counts: Readonly<RestoreCounts>) => void;
  /** Called with objects that are damaged, which are skipped; without it, the restore fails there. */
  readonly onDamaged?: ((damaged: DamagedObject) => void) | undefined;
}

export interface RestoreCounts {
  /** Handed to the broker; with no publisher: what would be. */
  messages: number;
  /** Payloads. */
  bytes: number;
  /** Copies of messages that are in two objects. */
  duplicates: number;
  /** Published by an earlier try. */
  skipped: number;
  objects: number;
  /** Raw entries that were handed to the broker; with no publisher: would be. */
  rawEntries: number;
  /** Raw entries that no broker would take. */
  readonly refused: { readonly key: string; readonly reason: string }[];
  /** By partition of the archive and of the target, `0 → 2`. */
  readonly routes: Map<string, RouteCounts>;
}

export interface RouteCounts {
  messages: number;
  bytes: number;
  firstPublishTimeMs: TimeMs;
  lastPublishTimeMs: TimeMs;
}

/** Restores what is selected. @throws BackupError; what was published by then is saved, and not published again */
export async function restoreMessages(options: RestoreOptions): Promise<RestoreCounts> {
  const { objects, raw, targetPartitions, publisher, save, clock } = options;
  const counts: RestoreCounts = {
    ...{ messages: 0, bytes: 0, duplicates: 0, skipped: 0, objects: 0, rawEntries: 0 },
    refused: [],
    routes: new Map(),
  };
  const sources = sourcesOf(objects, raw);
  const route = choosePartition(options.route, options.sourcePartitions, targetPartitions);
  const progress = createProgress(options.acknowledged, save, clock);
  const pace = createPace(options.messagesPerSecond, clock, options.signal);
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const slots = createSlots(PARALLEL);
  let failure: unknown;
  await Promise.all(
    sources.map((own) =>
      slots.run(async () => {
        if (failure !== undefined) return;
        try {
          const parts: Parts = { ...options, signal, counts, route, progress, pace };
          await restorePartition(own, parts, publisher, Math.max(1, Math.min(sources.length, PARALLEL)));
        } catch (error) {
          failure ??= error;
          stop.abort();
        }
      }),
    ),
  );
  await progress.finish().catch((error) => {
    failure ??= error;
  });
  if (failure !== undefined) throw failure;
  return counts;
}

interface Parts extends Omit<RestoreOptions, 'route'> {
  readonly counts: RestoreCounts;
  readonly route: ReturnType<typeof choosePartition>;
  readonly progress: RestoreProgress;
  readonly pace: ReturnType<typeof createPace>;
}

/** What is restored of one partition. */
interface SourceOfPartition {
  readonly partition: number;
  readonly objects: readonly ArchiveObject[];
  readonly raw: readonly RawObject[];
}

function sourcesOf(objects: readonly ArchiveObject[], raw: readonly RawObject[]): SourceOfPartition[] {
  const byNumber = new Map<number, { objects: ArchiveObject[]; raw: RawObject[] }>();
  const sourceOf = (partition: number) => {
    const source = byNumber.get(partition) ?? { objects: [], raw: [] };
    byNumber.set(partition, source);
    return source;
  };
  for (const object of objects) sourceOf(object.parts.partition).objects.push(object);
  for (const one of raw) sourceOf(one.partition).raw.push(one);
  return [...byNumber].sort(([a], [b]) => a - b).map(([partition, source]) => ({ partition, ...source }));
}

async function restorePartition(
  { partition, objects, raw }: SourceOfPartition,
  parts: Parts,
  publisher: Publisher | undefined,
  sources: number,
): Promise<void> {
  const { counts, route, pace, progress, signal, target } = parts;
  const source = String(partition);
  const producers = new Map<number, TopicProducer>();
  const published = parts.acknowledged[source] ?? {};
  const before = new Map(Object.entries(published).map(([to, sequenceId]) => [Number(to), sequenceId]));
  progress.track(source, producers);

  async function producerTo(to: number, of: Publisher): Promise<TopicProducer> {
    let producer = producers.get(to);
    if (producer === undefined) {
      const name = `tdmq-restore-${parts.restoreId}-${source}`;
      const targets = Math.max(1, parts.targetPartitions);
      const windowBytes = Math.min(MAX_WINDOW_BYTES, WINDOW_BYTES / sources / targets);
      const { compression, batching, isResumed: mayRepeat } = parts;
      producer = await of.open(partitionTopic(target, to), name, {
        compression,
        batching,
        windowBytes,
        mayRepeat,
      });
      producers.set(to, producer);
      before.set(to, Math.max(before.get(to) ?? -1, producer.lastSequenceId));
    }
    return producer;
  }

  let sequenceId = -1;

  /** Each of its entries takes a sequence id of its own, so that the chunks of a message are no duplicates of each other. */
  async function restoreRaw(one: RawObject): Promise<void> {
    const { entries } = await readRaw(parts.store, one, { signal });
    const to = route(routedBy(one, entries));
    let refusal: string | undefined;
    for (const entry of entries) {
      sequenceId++;
      if (publisher === undefined) continue;
      const producer = await producerTo(to, publisher);
      if (sequenceId <= (before.get(to) ?? -1)) continue;
      await pace(() => producer.push());
      const answer = await producer.sendEntry(entry.bytes, sequenceId);
      if (answer.kind === 'refused') refusal ??= answer.reason;
      const writing = progress.sent(entry.bytes.length);
      if (writing !== undefined) await writing;
    }
    if (refusal === undefined) counts.rawEntries++;
    else counts.refused.push({ key: one.key, reason: refusal });
  }

  try {
    const messages = readPartition(parts.store, objects, parts.selection, {
      signal,
      onObject: () => counts.objects++,
      onDuplicate: () => counts.duplicates++,
      onDamaged: parts.onDamaged,
    });
    for await (const item of raw.length === 0 ? messages : mergeById(messages, inPlaces(raw))) {
      if (signal.aborted) throw new BackupError('source', 'the restore was stopped');
      if (item.kind === 'raw') {
        await restoreRaw(item.raw);
        continue;
      }
      const { message } = item;
      sequenceId++;
      const to = route(message);
      const size = message.payload?.length ?? 0;
      if (publisher !== undefined) {
        const producer = await producerTo(to, publisher);
        if (sequenceId <= (before.get(to) ?? -1)) {
          counts.skipped++;
          continue;
        }
        await pace(() => {
          for (const one of producers.values()) one.push();
        });
        await producer.send(outgoing(message, sequenceId));
        const writing = progress.sent(size + MESSAGE_OVERHEAD_BYTES);
        if (writing !== undefined) await writing;
      }
      count(counts, `${source} → ${to}`, message, size);
      parts.onProgress?.(counts);
    }
    for (const producer of producers.values()) await producer.flush();
  } catch (error) {
    // What is on its way arrives all the same: with its receipts nothing of it is published again.
    const over = new AbortController();
    const flushed = Promise.allSettled([...producers.values()].map((producer) => producer.flush()));
    const late = parts.clock.sleep(LAST_RECEIPTS_MS, over.signal).catch(() => undefined);
    await Promise.race([flushed, late]);
    over.abort();
    throw error;
  } finally {
    await Promise.all([...producers.values()].map((producer) => producer.close()));
  }
}

function count(counts: RestoreCounts, name: string, message: Message, size: number): void {
  const { publishTimeMs } = message;
  counts.messages++;
  counts.bytes += size;
  const route = counts.routes.get(name);
  if (route === undefined) {
    const times = { firstPublishTimeMs: publishTimeMs, lastPublishTimeMs: publishTimeMs };
    counts.routes.set(name, { messages: 1, bytes: size, ...times });
    return;
  }
  route.messages++;
  route.bytes += size;
  if (publishTimeMs < route.firstPublishTimeMs) route.firstPublishTimeMs = publishTimeMs;
  if (publishTimeMs > route.lastPublishTimeMs) route.lastPublishTimeMs = publishTimeMs;
}

/** What is published of a message: everything but what its broker and its producer's client made. */
function outgoing(message: Message, sequenceId: number): OutgoingMessage {
  const { key, orderingKey, eventTimeMs, payload } = message;
  const own = message.properties.filter(([name]) => name !== ID_PROPERTY && name !== PUBLISH_TIME_PROPERTY);
  return {
    key,
    orderingKey,
    eventTimeMs,
    payload,
    sequenceId,
    properties: [
      ...own,
      [ID_PROPERTY, formatMessageId(message.id)],
      [PUBLISH_TIME_PROPERTY, formatTime(message.publishTimeMs)],
    ],
  };
}

/** Waits as long as the rate asks for; `beforeWaiting` sends what would only lie about. */
function createPace(messagesPerSecond: number | undefined, clock: Clock, signal: AbortSignal) {
  let nextMs = clock.now();
  return async (beforeWaiting: () => void): Promise<void> => {
    if (messagesPerSecond === undefined) return;
    const nowMs = clock.now();
    nextMs = Math.max(nextMs, nowMs - PACE_MS) + 1_000 / messagesPerSecond;
    if (nextMs - nowMs <= PACE_MS) return;
    beforeWaiting();
    await clock.sleep(nextMs - nowMs, signal).catch(() => undefined);
  };
}
