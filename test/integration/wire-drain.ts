// Drains a wire source as the core does: drops what it has taken already, acknowledges as it goes, counts every message.
import { createHash } from 'node:crypto';
import type { EntryId, Message, Source, SourcePartition } from '../../src/ports.ts';
import { createWireSource } from '../../src/pulsar/wire/source.ts';
import type { Timings } from '../../src/pulsar/wire/timer.ts';
import { parseTopicName, type TopicName } from '../../src/topic-name.ts';
import { contractOptions } from '../contract/contract-options.ts';
import type { ContractConfig } from '../contract/source-setup.ts';

type WireConfig = Partial<Omit<ContractConfig, 'topic'>> & {
  readonly serviceUrl: string;
  readonly topic: string;
};

/** A source over a real broker; its subscription is `backup` unless told otherwise. */
export function wireSource({ topic, ...config }: WireConfig, timings: Partial<Timings> = {}): Source {
  const options = contractOptions({ ...config, topic: parseTopicName(topic) as TopicName });
  return createWireSource(options, timings);
}

/** Its partitions, opened. */
export async function openPartitions(source: Source): Promise<readonly SourcePartition[]> {
  const partitions = await source.open();
  if (partitions === 'busy') throw new Error('the subscription is busy');
  return partitions;
}

const compare = (a: EntryId, b: EntryId) => a.ledgerId - b.ledgerId || a.entryId - b.entryId;

export interface DrainOptions {
  readonly acknowledgeEvery?: number;
  /** Called after so many entries, once. */
  readonly interruptAfter?: number;
  readonly interrupt?: () => Promise<unknown>;
  /** How long it may take for something to come. */
  readonly patienceMs?: number;
}

/** Everything up to the partition's end, each message once; ends early where the partition is lost or on standby. */
export async function drainPartition(
  partition: SourcePartition,
  options: DrainOptions = {},
): Promise<Message[]> {
  const { acknowledgeEvery = 20, interruptAfter = -1, interrupt, patienceMs = 30_000 } = options;
  const { end } = partition;
  const messages: Message[] = [];
  let unacknowledged: { readonly id: EntryId; readonly messages: readonly Message[] }[] = [];
  let last: EntryId | undefined;
  let entries = 0;
  const acknowledge = async () => {
    const ids = unacknowledged.map(({ id }) => id);
    for (let attempt = 1; ; attempt++) {
      try {
        await partition.acknowledge(ids);
        break;
      } catch (error) {
        if (attempt === 20 || !(error as { retryable?: boolean }).retryable) throw error;
      }
    }
    messages.push(...unacknowledged.flatMap((entry) => entry.messages));
    unacknowledged = [];
  };
  const isAtEnd = (id: EntryId) => end !== null && end !== 'unknown' && compare(id, end) >= 0;
  if (end === null) return messages;
  let deadlineMs = Date.now() + patienceMs;
  for (;;) {
    const delivery = await partition.next(1_000);
    if (delivery.kind === 'lost' || delivery.kind === 'standby') return messages;
    if (delivery.kind === 'idle' || delivery.kind === 'end') {
      // Another Failover consumer may have had the rest.
      if (unacknowledged.length === 0 && (await partition.backlog())?.entries === 0) return messages;
      if (Date.now() > deadlineMs) throw new Error(`nothing came for ${patienceMs} ms`);
      continue;
    }
    deadlineMs = Date.now() + patienceMs;
    if (delivery.kind === 'unreadable') throw new Error(delivery.reason);
    if (delivery.kind === 'entry' && (last === undefined || compare(delivery.id, last) > 0)) {
      last = delivery.id;
      unacknowledged.push(delivery);
      if (++entries === interruptAfter) await interrupt?.();
      if (unacknowledged.length >= acknowledgeEvery) await acknowledge();
    }
    if (last !== undefined && isAtEnd(last)) {
      await acknowledge();
      return messages;
    }
  }
}

/** `ledger:entry:partition:batchIndex`, as the Python client reports ids. */
export const idOf = ({ id }: Message) => `${id.ledgerId}:${id.entryId}:${id.partition}:${id.batchIndex}`;

export const sha256 = (bytes: Uint8Array | null) =>
  bytes === null ? null : createHash('sha256').update(bytes).digest('hex');
