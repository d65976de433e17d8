// A wire source over a loopback broker, with short time-outs, and what tests do with both.
import { compareEntries } from '../../../src/format/entry-order.ts';
import type { Clock, Delivery, EntryId, ReadableEntry, Source, SourcePartition } from '../../../src/ports.ts';
import { createWireSource } from '../../../src/pulsar/wire/source.ts';
import type { Timings } from '../../../src/pulsar/wire/timer.ts';
import { parseTopicName, type TopicName } from '../../../src/topic-name.ts';
import { afterThisTest } from '../../after-each.ts';
import { contractOptions } from '../../contract/contract-options.ts';
import type { ContractConfig } from '../../contract/source-setup.ts';
import {
  type LoopbackBroker,
  type LoopbackBrokerOptions,
  startLoopbackBroker,
} from '../../stand-ins/broker/broker.ts';

export const TOPIC = 'persistent://public/default/orders';
export const SUBSCRIPTION = 'backup';

/** So long that a busy machine is not taken for a silent broker. */
const SHORT: Partial<Timings> = {
  connectTimeoutMs: 5_000,
  operationTimeoutMs: 5_000,
  openTimeoutMs: 20_000,
  closeTimeoutMs: 2_000,
  settleMs: 0,
};

export interface OpenOptions extends Partial<ContractConfig> {
  readonly timings?: Partial<Timings>;
  readonly receiveBudgetBytes?: number;
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
}

/** A broker that is gone after the test. */
export async function startBroker(options: LoopbackBrokerOptions = {}): Promise<LoopbackBroker> {
  const broker = await startLoopbackBroker({ autoCreatesTopics: false, failoverDelayMs: 50, ...options });
  afterThisTest(() => broker.close());
  return broker;
}

/** A source that is closed after the test. */
export function createSource(broker: Pick<LoopbackBroker, 'serviceUrl'>, options: OpenOptions = {}): Source {
  const { timings, receiveBudgetBytes, signal, clock, ...config } = options;
  const topic = config.topic ?? (parseTopicName(TOPIC) as TopicName);
  const made = contractOptions(
    { serviceUrl: broker.serviceUrl, subscription: SUBSCRIPTION, ...config, topic },
    {
      ...(receiveBudgetBytes === undefined ? {} : { receiveBudgetBytes }),
      ...(signal === undefined ? {} : { signal }),
    },
  );
  const source = createWireSource({ ...made, clock: clock ?? made.clock }, { ...SHORT, ...timings });
  afterThisTest(() => source.close());
  return source;
}

/** An open source and its first partition. */
export async function openSource(broker: Pick<LoopbackBroker, 'serviceUrl'>, options: OpenOptions = {}) {
  const source = createSource(broker, options);
  const partitions = await source.open();
  if (partitions === 'busy') throw new Error('the subscription is busy');
  return { source, partitions, first: partitions[0] as SourcePartition };
}

/** Messages with the payloads m0, m1, … */
export const messages = (count: number, from = 0) =>
  Array.from({ length: count }, (_, n) => ({ payload: `m${from + n}` }));

/** The next `count` entries; fails where anything but signals to pass over comes between. */
export async function take(
  partition: SourcePartition,
  count: number,
  passOver: readonly Delivery['kind'][] = ['idle', 'behind', 'pending'],
): Promise<ReadableEntry[]> {
  const entries: ReadableEntry[] = [];
  const deadlineMs = Date.now() + 10_000;
  while (entries.length < count) {
    const delivery = await partition.next(200);
    if (delivery.kind === 'entry') entries.push(delivery);
    else if (!passOver.includes(delivery.kind) || Date.now() > deadlineMs) {
      throw new Error(`after ${entries.length} of ${count} entries: ${JSON.stringify(delivery)}`);
    }
  }
  return entries;
}

/** Everything up to its end. */
export async function takeAll(partition: SourcePartition): Promise<ReadableEntry[]> {
  const { end } = partition;
  if (end === 'unknown') throw new Error('its end is unknown');
  const entries: ReadableEntry[] = [];
  let at: EntryId = { ledgerId: -1, entryId: -1 };
  while (end !== null && compareEntries(at, end) < 0) {
    const [entry] = await take(partition, 1);
    entries.push(entry as ReadableEntry);
    at = (entry as ReadableEntry).id;
  }
  return entries;
}

export const texts = (entries: readonly ReadableEntry[]) =>
  entries.flatMap((entry) => entry.messages.map(({ payload }) => payload && Buffer.from(payload).toString()));

export const ids = (entries: readonly ReadableEntry[]): EntryId[] => entries.map(({ id }) => id);

/** What a failing call throws. */
export const failureOf = async (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => undefined,
    (error: unknown) => error,
  );
