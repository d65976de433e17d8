// What the subscription has left in one partition, and why it does not come. It asks the broker, and throws nothing:
// what it cannot find out is `undefined`.
import { isUpTo } from '../../format/entry-order.ts';
import type { Backlog, EntryId, HeldBackReason, UnreadableEntry } from '../../ports.ts';
import type { ConsumerLink } from './consumer-link.ts';
import type { EntryReader } from './entry-reader.ts';
import { HeldBackProbe, type HeldBackProbeOptions } from './held-back-probe.ts';
import { isAllAcknowledged } from './positions.ts';
import { isServerError } from './protocol/server-error.ts';

/** A run does not wait longer to know how much there was at its start. */
const ENTRIES_AT_OPEN_TIMEOUT_MS = 2_000;

/** The other parts of the partition, and what the probe needs. */
export interface PartitionBacklogOptions
  extends Pick<
    HeldBackProbeOptions,
    'topic' | 'isOrdered' | 'limitBytes' | 'clock' | 'nextConsumerId' | 'position' | 'onPassedOver'
  > {
  readonly link: ConsumerLink;
  readonly reader: EntryReader;
}

/** The backlog of one partition. */
export class PartitionBacklog {
  readonly #link: ConsumerLink;
  readonly #reader: EntryReader;
  readonly #isOrdered: boolean;
  readonly #probe: HeldBackProbe;
  #entriesAtOpen: Promise<number | undefined> = Promise.resolve(undefined);
  /** Without order: chunks that the broker keeps for a consumer that is gone. */
  #keptChunks = 0;

  constructor({ link, reader, ...options }: PartitionBacklogOptions) {
    this.#link = link;
    this.#reader = reader;
    this.#isOrdered = options.isOrdered;
    this.#probe = new HeldBackProbe({
      ...options,
      consumer: () => link.consumer,
      incompleteChunks: () => reader.incompleteEntries + this.#keptChunks,
      leftOutChunks: () => reader.leftOutEntries,
    });
  }

  /** Asks how much there is at the start of the run. Only while there is a consumer. */
  opened(): void {
    this.#entriesAtOpen = this.#link.consumer
      .backlogEntries(ENTRIES_AT_OPEN_TIMEOUT_MS)
      .catch(() => undefined);
  }

  /** An entry came: what was found out before is out of date. */
  arrived(): void {
    this.#probe.reset();
  }

  /** See SourcePartition. */
  entriesAtOpen(): Promise<number | undefined> {
    return this.#entriesAtOpen;
  }

  /** How much there is now, without what is known of the next message. */
  async left(): Promise<Backlog | undefined> {
    if (this.#link.isMissing) return { entries: 0 };
    try {
      await this.#link.ready();
      const reported = await this.#link.consumer.backlogEntries().catch(() => undefined);
      if (reported !== undefined) return { entries: reported };
      return isAllAcknowledged(await this.#link.consumer.lastPositions()) ? { entries: 0 } : undefined;
    } catch {
      return undefined;
    }
  }

  /** Whether everything up to `end` is acknowledged; true too where nobody can know. */
  async isDrained(end: EntryId): Promise<boolean> {
    if (!this.#link.isReady) return true;
    try {
      const { acknowledged } = await this.#link.consumer.lastPositions();
      return acknowledged === undefined || isUpTo(end, acknowledged);
    } catch {
      return true;
    }
  }

  /** See SourcePartition. */
  async heldBack(entries: number, quietMs: number): Promise<readonly HeldBackReason[] | undefined> {
    try {
      await this.#link.ready();
      return await this.#probe.reasons(entries, quietMs);
    } catch {
      return undefined;
    }
  }

  /** See SourcePartition. Only while there is a consumer. */
  hasTransactions(): Promise<boolean> {
    return this.#link.consumer.hasTransactions().catch((error) => !isServerError(error, 'NotAllowedError'));
  }

  /** See SourcePartition. Only while there is a consumer. */
  nextBehind(id: EntryId): Promise<EntryId | undefined> {
    return this.#probe.nextBehind(id);
  }

  /** See SourcePartition. */
  async giveUpChunks(publishedBeforeMs: number): Promise<readonly UnreadableEntry[]> {
    const given = this.#reader.giveUpChunks(publishedBeforeMs);
    if (given.length > 0) return given;
    this.#reader.logIncomplete();
    if (this.#isOrdered) return [];
    try {
      await this.#link.ready();
      this.#keptChunks = 0;
      const left = await this.#link.consumer.backlogEntries();
      if (left === undefined || left <= this.#reader.incompleteEntries) return [];
      const found = await this.#probe.keptChunks();
      const kept = this.#reader.giveUpFound(found, publishedBeforeMs);
      if (kept.length === 0) this.#keptChunks = found.length;
      return kept;
    } catch {
      return [];
    }
  }
}
