// What the groups of the contract suite of Source share: topics, sources that are closed after each test, entries to
// publish and to compare.
import { expect } from 'vitest';
import type { SubscriptionType } from '../../src/config.ts';
import type { EntryId, ReadableEntry, Source, SourcePartition } from '../../src/ports.ts';
import type { TopicName } from '../../src/topic-name.ts';
import type {
  ContractConfig,
  PublishedEntry,
  PublishedMessage,
  SourceCapabilities,
  SourceLimits,
  SourceSurroundings,
} from './source-setup.ts';

const SUBSCRIPTION = 'backup';
/** How long a delivery that must come may take. */
export const PATIENCE_MS = 20_000;
export const TYPES: readonly SubscriptionType[] = ['exclusive', 'failover', 'shared', 'key_shared'];
export const IN_ORDER: readonly SubscriptionType[] = ['exclusive', 'failover'];
export const LISTED: readonly SubscriptionType[] = ['shared', 'key_shared'];

export const text = (payload: Uint8Array | null | undefined) =>
  payload === null || payload === undefined ? payload : Buffer.from(payload).toString();
export const single = (
  payload: PublishedMessage['payload'],
  more: Partial<PublishedMessage> = {},
): PublishedEntry => ({
  isBatch: false,
  messages: [{ payload, ...more }],
});
export const batch = (...payloads: string[]): PublishedEntry => ({
  isBatch: true,
  messages: payloads.map((payload) => ({ payload })),
});
export const singles = (count: number, from = 0) =>
  Array.from({ length: count }, (_, index) => single(`m${from + index}`));
export const payloadsOf = (entries: readonly ReadableEntry[]) =>
  entries.map((entry) => entry.messages.map((message) => text(message.payload)));
export const byPosition = (a: EntryId, b: EntryId) => a.ledgerId - b.ledgerId || a.entryId - b.entryId;
export const idsOf = (entries: readonly { readonly id: EntryId }[]) => entries.map(({ id }) => ({ ...id }));

/** One contract under way: its surroundings and what tests do in them. */
export class SourceContract {
  readonly can: SourceCapabilities;
  readonly #start: () => Promise<SourceSurroundings>;
  readonly #opened: Source[] = [];
  #around: SourceSurroundings | undefined;

  constructor(can: SourceCapabilities, start: () => Promise<SourceSurroundings>) {
    this.can = can;
    this.#start = start;
  }

  get around(): SourceSurroundings {
    if (this.#around === undefined) throw new Error('the surroundings are there only inside tests');
    return this.#around;
  }

  readonly begin = async (): Promise<void> => {
    this.#around = await this.#start();
  };

  readonly closeSources = async (): Promise<void> => {
    await Promise.all(this.#opened.splice(0).map((source) => source.close()));
  };

  readonly end = async (): Promise<void> => {
    await this.#around?.stop();
  };

  readonly createSource = (config: ContractConfig, limits?: SourceLimits): Source => {
    const source = this.around.createSource({ subscription: SUBSCRIPTION, ...config }, limits);
    this.#opened.push(source);
    return source;
  };

  readonly openSource = async (config: ContractConfig, limits?: SourceLimits) => {
    const source = this.createSource(config, limits);
    const partitions = await source.open();
    if (partitions === 'busy') throw new Error('the subscription is busy');
    return { source, partitions, first: partitions[0] as SourcePartition };
  };

  /** A plain topic with entries in it. */
  readonly topicWith = async (
    ...entries: PublishedEntry[]
  ): Promise<{ topic: TopicName; ids: EntryId[] }> => {
    const topic = await this.around.createTopic(0);
    return { topic, ids: await this.around.publish(topic.full, entries) };
  };

  /** The next `count` entries, whatever signals come between them. */
  readonly take = async (partition: SourcePartition, count: number): Promise<ReadableEntry[]> => {
    const { clock } = this.around;
    const entries: ReadableEntry[] = [];
    const deadlineMs = clock.now() + PATIENCE_MS;
    while (entries.length < count) {
      const delivery = await partition.next(500);
      // Standby is answered at once: asking again and again would leave the broker no turn of this event loop.
      const isActiveAgain =
        delivery.kind === 'standby' && (await partition.untilActive(AbortSignal.timeout(PATIENCE_MS)));
      if (delivery.kind === 'entry') entries.push(delivery);
      else if (delivery.kind === 'unreadable') throw new Error(`unreadable: ${delivery.reason}`);
      else if (!isActiveAgain && clock.now() > deadlineMs)
        throw new Error(`${entries.length} of ${count} entries came, then ${delivery.kind}`);
    }
    return entries;
  };

  /**
   * Entries until `count` different ones have come, sorted. Without order a broker may send an entry twice to a
   * consumer that takes the place of another, if its own reading was under way meanwhile.
   */
  readonly takeDistinct = async (partition: SourcePartition, count: number): Promise<ReadableEntry[]> => {
    const entries = new Map<string, ReadableEntry>();
    while (entries.size < count) {
      for (const entry of await this.take(partition, 1))
        entries.set(`${entry.id.ledgerId}:${entry.id.entryId}`, entry);
    }
    return [...entries.values()].sort((a, b) => byPosition(a.id, b.id));
  };

  readonly expectIdle = async (partition: SourcePartition): Promise<void> => {
    expect(await partition.next(300)).toEqual({ kind: 'idle' });
  };

  /** Until nothing comes any more, nothing comes but what came before. */
  readonly expectNothingBut = async (
    partition: SourcePartition,
    before: readonly ReadableEntry[],
  ): Promise<void> => {
    for (;;) {
      const delivery = await partition.next(300);
      if (delivery.kind === 'idle') return;
      expect(before.map(({ id }) => id)).toContainEqual((delivery as ReadableEntry).id);
    }
  };

  /** Waits for it: a broker updates what it shows of a cursor a little later. */
  readonly expectBacklog = async (topic: TopicName, entries: number): Promise<void> => {
    const { clock, backlogEntries } = this.around;
    const deadlineMs = clock.now() + 5_000;
    for (;;) {
      const backlog = await backlogEntries(topic, SUBSCRIPTION);
      if (backlog === entries || clock.now() > deadlineMs) {
        expect(backlog).toBe(entries);
        return;
      }
      await clock.sleep(50);
    }
  };
}
