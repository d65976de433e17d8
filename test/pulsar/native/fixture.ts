// What the tests of the native adapter share: a fake client, its clock, and a source over it.
import type { PulsarConfig } from '../../../src/config.ts';
import type { Delivery, ReadableEntry, Source, SourcePartition } from '../../../src/ports.ts';
import { createNativeSource } from '../../../src/pulsar/native/source.ts';
import type { SourceOptions } from '../../../src/pulsar/source-options.ts';
import { parseTopicName, type TopicName } from '../../../src/topic-name.ts';
import { keepingLogger } from '../../fakes/loggers.ts';
import type { FakeConsumer } from '../fake-consumer.ts';
import { type FakeEntry, FakePulsar } from '../fake-pulsar-client.ts';
import { virtualClock } from '../virtual-clock.ts';

export const TOPIC = parseTopicName('t/ns/orders') as TopicName;

export function nativeConfig(overrides: Partial<PulsarConfig> = {}): PulsarConfig {
  return {
    serviceUrl: 'pulsar://127.0.0.1:6650',
    topic: TOPIC,
    subscription: 'backup',
    subscriptionType: 'exclusive',
    initialPosition: 'earliest',
    token: undefined,
    listenerName: undefined,
    tlsCaFile: undefined,
    driver: 'native',
    tdmqRole: undefined,
    ...overrides,
  };
}

export interface Fixture {
  readonly pulsar: FakePulsar;
  readonly lines: ReturnType<typeof keepingLogger>['lines'];
  readonly abort: AbortController;
  /** A new source each time, as a new run has. */
  source(overrides?: Partial<PulsarConfig>): Source;
  /** Opens a source on a topic of one partition. */
  open(overrides?: Partial<PulsarConfig>): Promise<SourcePartition>;
  consumer(): FakeConsumer;
}

/** A plain topic with `entries` in it. */
export function nativeFixture(...entries: FakeEntry[]): Fixture {
  return nativeFixtureOf({}, ...entries);
}

/** The same; `options`: what else its sources are made of. */
export function nativeFixtureOf(
  options: Pick<SourceOptions, 'isFirstRun'>,
  ...entries: FakeEntry[]
): Fixture {
  const clock = virtualClock();
  const pulsar = new FakePulsar(clock);
  const logger = keepingLogger();
  const abort = new AbortController();
  pulsar.addTopic(TOPIC.full);
  pulsar.publish(TOPIC.full, ...entries);
  const source = (overrides: Partial<PulsarConfig> = {}) =>
    createNativeSource(
      {
        ...{ config: nativeConfig(overrides), receiveBudgetBytes: 2 ** 26 },
        ...{ clock, logger, signal: abort.signal, ...options },
      },
      async () => ({ default: pulsar.module() }),
    );
  return {
    pulsar,
    lines: logger.lines,
    abort,
    source,
    open: async (overrides) => {
      const partitions = await source(overrides).open();
      if (partitions === 'busy') throw new Error('the subscription is busy');
      return partitions[0] as SourcePartition;
    },
    consumer: () => pulsar.consumers.at(-1) as FakeConsumer,
  };
}

/** An entry of ledger 7: a batch of `count` messages with their place as text. */
export const batch = (entryId: number, count: number, more: Partial<FakeEntry> = {}): FakeEntry => ({
  ledgerId: 7,
  entryId,
  isBatch: true,
  messages: Array.from({ length: count }, (_, index) => ({ data: `${entryId}.${index}` })),
  ...more,
});

/** An entry of ledger 7 that is one message. */
export const single = (entryId: number, fields: FakeEntry['messages'][number] = {}): FakeEntry => ({
  ledgerId: 7,
  entryId,
  isBatch: false,
  messages: [{ data: `${entryId}`, ...fields }],
});

/** An entry of ledger 7 that is a chunk, not the last, of a message. */
export const chunk = (entryId: number): FakeEntry => ({
  ledgerId: 7,
  entryId,
  isBatch: false,
  messages: [],
  isChunk: true,
});

/** The next `count` deliveries, each given at most a second. */
export async function take(partition: SourcePartition, count: number): Promise<Delivery[]> {
  const deliveries: Delivery[] = [];
  while (deliveries.length < count) deliveries.push(await partition.next(1_000));
  return deliveries;
}

/** The payloads of an entry's messages as text; the kind of what is none. */
export const textOf = (delivery: Delivery): string[] | string =>
  delivery.kind === 'entry'
    ? delivery.messages.map((message) => Buffer.from(message.payload as Uint8Array).toString())
    : delivery.kind;

export const idOf = (delivery: Delivery | undefined) => (delivery as ReadableEntry).id;
