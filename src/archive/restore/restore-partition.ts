// Publishes what is restored of one partition, one message after the other. It numbers the messages, and leaves out those
// that the broker has by their numbers.
import { BackupError } from '../../errors.ts';
import { formatMessageId, formatTime } from '../../format/record.ts';
import type { Message, OutgoingMessage, TopicProducer } from '../../ports.ts';
import { partitionTopic } from '../../topic-name.ts';
import type { ArchiveObject, RawObject } from '../catalog/catalog.ts';
import type { PartitionObjects } from '../catalog/object-list.ts';
import { readRaw } from '../read/raw-entries.ts';
import { mergeById, readInOrder } from '../read/read-messages.ts';
import { countMessage, type RestoreCounts } from './restore-counts.ts';
import type { RestoreOptions } from './restore-options.ts';
import type { Pace } from './restore-pace.ts';
import type { RestoreProgress } from './restore-progress.ts';
import { inPlaces, routedBy } from './restore-raw.ts';
import type { choosePartition } from './restore-routing.ts';

/** Properties that a restored message has besides its own. */
export const ID_PROPERTY = 'tdmq-backup-id';
export const PUBLISH_TIME_PROPERTY = 'tdmq-backup-publish-time';

/** About what a message takes besides its payload. */
const MESSAGE_OVERHEAD_BYTES = 200;
/** How long a restore that fails or is stopped waits for the receipts of what is on its way. */
const LAST_RECEIPTS_MS = 500;

/** What is restored of one partition. */
export interface PartitionRestore {
  readonly partition: number;
  /** `undefined`: there are only raw entries. */
  readonly objects: PartitionObjects | undefined;
  readonly raw: readonly RawObject[];
}

/** What the partitions of a topic have in common. */
export interface TopicRestore extends Omit<RestoreOptions, 'route' | 'partitions' | 'raw' | 'budget'> {
  readonly counts: RestoreCounts;
  readonly route: ReturnType<typeof choosePartition>;
  readonly progress: RestoreProgress;
  readonly pace: Pace;
  /** Of each producer. */
  readonly windowBytes: number;
}

/** Restores one partition, and adds to the counts. @throws BackupError */
export async function restorePartition(
  { partition, objects, raw }: PartitionRestore,
  topic: TopicRestore,
): Promise<void> {
  const { counts, route, pace, progress, signal, target, publisher } = topic;
  const source = String(partition);
  const producers = new Map<number, TopicProducer>();
  const published = topic.acknowledged[source] ?? {};
  const before = new Map(Object.entries(published).map(([to, sequenceId]) => [Number(to), sequenceId]));
  progress.track(source, producers);

  /** `undefined`: nothing is published. */
  async function producerTo(to: number): Promise<TopicProducer | undefined> {
    let producer = producers.get(to);
    if (producer === undefined && publisher !== undefined) {
      const name = `tdmq-restore-${topic.restoreId}-${source}`;
      const { compression, batching, windowBytes, isResumed: mayRepeat } = topic;
      producer = await publisher.open(partitionTopic(target, to), name, {
        compression,
        batching,
        windowBytes,
        mayRepeat,
        mayGoOn: topic.mayGoOn,
        schema: topic.schemas?.ofProducers,
      });
      producers.set(to, producer);
      before.set(to, Math.max(before.get(to) ?? -1, producer.lastSequenceId));
    }
    return producer;
  }

  async function versionOf(message: Message, object: ArchiveObject): Promise<Uint8Array | undefined> {
    const version = await topic.schemas?.versionOf(message, object);
    if (version === undefined && !topic.isWithoutSchemas) counts.withoutSchema++;
    return version;
  }

  let sequenceId = -1;

  /** Each of its entries takes a sequence id of its own, so that the chunks of a message are no duplicates of each other. */
  async function restoreRaw(one: RawObject): Promise<void> {
    const { entries } = await readRaw(topic.store, one, { signal });
    const to = route(routedBy(one, entries));
    let refusal: string | undefined;
    for (const entry of entries) {
      sequenceId++;
      const producer = await producerTo(to);
      if (sequenceId <= (before.get(to) ?? -1) || producer === undefined) continue;
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
    const none = { recovered: [], others: () => [] };
    const messages = readInOrder(topic.store, objects ?? none, topic.selection, {
      signal,
      onObject: () => counts.objects++,
      onDuplicate: () => counts.duplicates++,
      onDamaged: topic.onDamaged,
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
      const producer = producers.get(to) ?? (await producerTo(to));
      if (sequenceId <= (before.get(to) ?? -1)) {
        counts.skipped++;
        continue;
      }
      const { schemaVersion: own } = message;
      // Producers of bytes write a version of no bytes.
      const schemaVersion = own !== undefined && own.length > 0 ? await versionOf(message, item.object) : own;
      if (producer !== undefined) {
        await pace(() => {
          for (const one of producers.values()) one.push();
        });
        await producer.send(outgoing(message, sequenceId, schemaVersion));
        const writing = progress.sent(size + MESSAGE_OVERHEAD_BYTES);
        if (writing !== undefined) await writing;
      }
      countMessage(counts, `${source} → ${to}`, message, size);
      topic.onProgress?.(counts);
    }
    for (const producer of producers.values()) await producer.flush();
  } catch (error) {
    // What is on its way arrives all the same: with its receipts nothing of it is published again.
    const over = new AbortController();
    const flushed = Promise.allSettled([...producers.values()].map((producer) => producer.flush()));
    const late = topic.clock.sleep(LAST_RECEIPTS_MS, over.signal).catch(() => undefined);
    await Promise.race([flushed, late]);
    over.abort();
    throw error;
  } finally {
    await Promise.all([...producers.values()].map((producer) => producer.close()));
  }
}

/** What is published of a message: everything but what its broker and its producer's client made. */
function outgoing(
  message: Message,
  sequenceId: number,
  schemaVersion: Uint8Array | undefined,
): OutgoingMessage {
  const { key, orderingKey, eventTimeMs, payload } = message;
  const own = message.properties.filter(([name]) => name !== ID_PROPERTY && name !== PUBLISH_TIME_PROPERTY);
  return {
    key,
    orderingKey,
    eventTimeMs,
    payload,
    sequenceId,
    ...(schemaVersion && { schemaVersion }),
    properties: [
      ...own,
      [ID_PROPERTY, formatMessageId(message.id)],
      [PUBLISH_TIME_PROPERTY, formatTime(message.publishTimeMs)],
    ],
  };
}
