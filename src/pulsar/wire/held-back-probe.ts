// Why a broker hands out nothing of a backlog. Looks at the next entry as a reader of its own, which acknowledges
// nothing and of which nothing stays. It gives a reason only where what it saw leaves no other.
import { randomBytes } from 'node:crypto';
import { isUpTo } from '../../format/entry-order.ts';
import type { Clock, EntryId, HeldBackReason } from '../../ports.ts';
import type { BrokerConsumer } from './broker-consumer.ts';
import { isChunk } from './chunks.ts';
import { decodeMessage } from './protocol/codec.ts';
import { readStoredEntry, type StoredEntry } from './protocol/entry-decoder.ts';
import { isServerError } from './protocol/server-error.ts';
import { FRAME, SUBSCRIPTION_TYPE } from './protocol/tables.ts';
import { startTimer } from './timer.ts';

/** After so long a silence it is worth to look. */
const LOOK_AFTER_MS = 1_500;
/** How long a reader waits for its next entry. */
const LOOK_MS = 1_000;
/**
 * What does not come for so long is kept from the subscription: by then two looks agree, of which the first may have
 * met a broker that was only slow.
 */
const KEPT_FROM_US_AFTER_MS = 2_500;
/**
 * A reader begins so many entries before. Brokers pass over a batch of no messages, unless they read it together with
 * others, and the first that a reader gets is often read alone (ManagedCursorImpl.applyMaxSizeCap).
 */
const ENTRIES_BEFORE = 4;
/** Before every message of a topic. */
const EARLIEST: EntryId = { ledgerId: 0, entryId: -1 };
const CLOSE_TIMEOUT_MS = 2_000;
/** Without order: how much is looked through for the rest of a message. Its producer sends it in one go. */
const MAX_READ = 10_000;
const MAX_BYTES_READ = 64 * 1_048_576;

/**
 * What a look finds: the next entry with messages, or that only those before come (`end`), or nothing at all, which says
 * nothing; and those without messages that stand before it.
 */
type Look = (
  | { readonly kind: 'entry'; readonly entry: StoredEntry }
  | { readonly kind: 'end' | 'nothing' }
) & { readonly passedOver: readonly StoredEntry[] };

export interface HeldBackProbeOptions {
  readonly topic: string;
  readonly isOrdered: boolean;
  /** Of the chunks of one message. */
  readonly limitBytes: number;
  readonly clock: Clock;
  readonly nextConsumerId: () => number;
  readonly consumer: () => BrokerConsumer;
  /** The last entry that came or was acknowledged. */
  readonly position: () => EntryId | undefined;
  /** How many entries wait for the rest of their chunked messages. */
  readonly incompleteChunks: () => number;
  /** How many of these belong to messages that did not fit into memory. */
  readonly leftOutChunks: () => number;
  /** Hands out entries without messages, which brokers pass over where they stand alone; each once. */
  readonly onPassedOver: (entry: StoredEntry) => void;
}

/** Looks into the silence of one partition. */
export class HeldBackProbe {
  readonly #options: HeldBackProbeOptions;
  /** What stands next; kept until something comes. */
  #next: StoredEntry | undefined;
  /** A broker that refuses to be asked in this way is not asked again. */
  #isRefused = false;
  /** The last one that was handed out here: a hole before it may keep it in sight when it is acknowledged. */
  #passedOverThrough: EntryId | undefined;
  #hasTransactions: Promise<boolean> | undefined;
  /** What comes while a look is under way proves it wrong. */
  #arrivals = 0;

  constructor(options: HeldBackProbeOptions) {
    this.#options = options;
  }

  /** Something came: what was found before is out of date. */
  reset(): void {
    this.#next = undefined;
    this.#arrivals++;
  }

  /** Why `entries` do not come that are to come; `undefined`: they may yet. @throws BackupError `source` */
  async reasons(entries: number, quietMs: number): Promise<readonly HeldBackReason[] | undefined> {
    const chunks = this.#options.incompleteChunks();
    const leftOut = this.#options.leftOutChunks();
    const known: HeldBackReason[] = chunks > leftOut ? ['incomplete chunks'] : [];
    if (leftOut > 0) known.push('too little memory');
    if (entries <= chunks) return known;
    const other = await this.#other(entries, quietMs);
    return other === undefined ? undefined : [...known, other];
  }

  /** The next entry with messages behind `position`, as far as a reader gets it at once. Never throws. */
  async nextBehind(position: EntryId): Promise<EntryId | undefined> {
    const look = await this.#look(position).catch(() => undefined);
    return look?.kind === 'entry' ? look.entry.id : undefined;
  }

  /**
   * Without order: the chunks that stand first in what is not acknowledged, with all that there is of their message, if
   * that is not whole. Brokers since 2.11 keep such chunks for a consumer that had the first of them and is gone
   * (SharedConsumerAssignor). @throws BackupError `source`
   */
  async firstChunks(): Promise<readonly StoredEntry[]> {
    const { last, acknowledged } = await this.#options.consumer().lastPositions();
    if (last === undefined || acknowledged === undefined || this.#isRefused) return [];
    const found: StoredEntry[] = [];
    let foundBytes = 0;
    let isLookedThrough = false;
    let count = 0;
    let otherBytes = 0;
    await this.#read(acknowledged, (entry) => {
      const { id, metadata, sizeBytes } = entry;
      const isBehind = !isUpTo(id, acknowledged);
      const [first] = found;
      if (isBehind && isChunk(metadata) && metadata.uuid === (first?.metadata ?? metadata).uuid) {
        found.push(entry);
        foundBytes += sizeBytes;
      } else if (isBehind && first === undefined) return true;
      else otherBytes += sizeBytes;
      isLookedThrough = isUpTo(last, id) || ++count >= MAX_READ || otherBytes > MAX_BYTES_READ;
      return isLookedThrough || foundBytes > this.#options.limitBytes;
    });
    const chunks = new Set(found.map(({ metadata }) => metadata?.chunkId));
    return isLookedThrough && chunks.size < (found[0]?.metadata?.chunks ?? 0) ? found : [];
  }

  async #other(entries: number, quietMs: number): Promise<HeldBackReason | undefined> {
    const { isOrdered } = this.#options;
    const position = await this.#position();
    const isLast = await this.#isLast(position);
    const isEarly = isOrdered && quietMs < LOOK_AFTER_MS;
    if (isEarly && (!isLast || (await this.#brokerHasTransactions()))) return undefined;
    const arrivals = this.#arrivals;
    const look = await this.#lookOnce(position ?? EARLIEST);
    if (look !== undefined && position !== undefined && this.#handOut(look.passedOver)) return undefined;
    if (arrivals !== this.#arrivals) return undefined;
    const isGone = isLast && look !== undefined && (await this.#isGone(position, look));
    if (isGone) return 'none to deliver';
    if (!isOrdered) return look === undefined ? 'unknown' : this.#withoutOrder(look);
    if (position === undefined || look === undefined) return undefined;
    if (look.kind === 'entry') this.#next = look.entry;
    // With nothing before it either, that others get nothing is no proof.
    const isNothing = look.kind === 'nothing' && position.entryId >= 0;
    if (isNothing || quietMs < KEPT_FROM_US_AFTER_MS) return undefined;
    if (await this.#brokerHasTransactions()) return 'open transaction';
    return isNobodys(position, look, entries) ? 'unknown' : undefined;
  }

  /** The broker knows of no message behind `position`: whether the look agrees, and no transaction may hide one. */
  async #isGone(position: EntryId | undefined, { kind, passedOver }: Look): Promise<boolean> {
    // With no position at all: what is there may be acknowledged, so only nothing says anything.
    if (position === undefined) return kind === 'nothing' && passedOver.length === 0;
    if (kind === 'entry' || passedOver.length > 0) return false;
    return (kind === 'nothing' && position.entryId >= 0) || !(await this.#brokerHasTransactions());
  }

  #withoutOrder(look: Look): HeldBackReason {
    if (look.kind !== 'entry') return 'unknown';
    if (isLater(metadataOf(look.entry).deliverAtTime, this.#options.clock)) return 'delayed messages';
    return isChunk(look.entry.metadata) ? 'incomplete chunks' : 'unknown';
  }

  /** Whether there was any that was not handed out before. */
  #handOut(passedOver: readonly StoredEntry[]): boolean {
    const through = this.#passedOverThrough;
    const fresh = passedOver.filter(({ id }) => through === undefined || !isUpTo(id, through));
    for (const entry of fresh) this.#options.onPassedOver(entry);
    this.#passedOverThrough = fresh.at(-1)?.id ?? through;
    return fresh.length > 0;
  }

  /** Whether the broker knows of no message behind `position`; with none at all, whether it knows of no last message. */
  async #isLast(position: EntryId | undefined): Promise<boolean> {
    try {
      const { last } = await this.#options.consumer().lastPositions();
      return last === undefined || (position !== undefined && isUpTo(last, position));
    } catch (error) {
      // Of 2.7, where the ledger of the last message is deleted, and all before it.
      if (isServerError(error, 'MetadataError')) return true;
      throw error;
    }
  }

  #brokerHasTransactions(): Promise<boolean> {
    this.#hasTransactions ??= this.#options
      .consumer()
      .hasTransactions()
      .catch(() => false);
    return this.#hasTransactions;
  }

  /** `undefined`: the broker refuses it. */
  async #lookOnce(position: EntryId): Promise<Look | undefined> {
    if (this.#next !== undefined) return { kind: 'entry', entry: this.#next, passedOver: [] };
    if (this.#isRefused) return undefined;
    try {
      return await this.#look(position);
    } catch {
      this.#isRefused = true;
      return undefined;
    }
  }

  /** `undefined`: the broker does not tell, and nothing has come. */
  async #position(): Promise<EntryId | undefined> {
    const { isOrdered, consumer, position } = this.#options;
    if (isOrdered) return position();
    const told = consumer().lastPositions();
    return told.then(
      ({ acknowledged }) => acknowledged,
      (error) => {
        if (!isServerError(error, 'MetadataError')) throw error;
        return undefined;
      },
    );
  }

  async #look(position: EntryId): Promise<Look> {
    let kind: 'end' | 'nothing' = 'nothing';
    let next: StoredEntry | undefined;
    const passedOver: StoredEntry[] = [];
    const from = { ...position, entryId: Math.max(0, position.entryId - ENTRIES_BEFORE) };
    await this.#read(from, (entry) => {
      if (isUpTo(entry.id, position)) kind = 'end';
      else if (entry.permits === 0) passedOver.push(entry);
      else next = entry;
      return next !== undefined;
    });
    return next === undefined ? { kind, passedOver } : { kind: 'entry', entry: next, passedOver };
  }

  /** Reads from an entry on, until `onEntry` says that it is enough, or nothing has come for a while. */
  async #read(from: EntryId, onEntry: (entry: StoredEntry) => boolean): Promise<void> {
    const { topic, clock, nextConsumerId, consumer } = this.#options;
    const reader = consumer().beside(nextConsumerId());
    let finish = (): void => undefined;
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    let cancelTimer = (): void => undefined;
    const wait = (): void => {
      cancelTimer();
      cancelTimer = startTimer(clock, LOOK_MS, finish);
    };
    let isEnough = false;
    await reader.subscribe(
      {
        topic,
        subscription: `tdmq-backup-look-${randomBytes(4).toString('hex')}`,
        consumerName: 'tdmq-backup-look',
        subType: SUBSCRIPTION_TYPE.Exclusive,
        initialPosition: 'earliest',
        startAt: from,
      },
      {
        onEntry: (id, bytes) => {
          if (isEnough) return;
          const entry = readStoredEntry(id, bytes);
          isEnough = onEntry(entry);
          if (isEnough) finish();
          else {
            reader.grantPermits(Math.max(1, entry.permits));
            wait();
          }
        },
        onActiveChange: () => undefined,
        onEndOfTopic: () => undefined,
        onClosedByBroker: () => finish(),
        onConnectionLost: () => finish(),
        onFault: () => finish(),
      },
    );
    wait();
    reader.grantPermits(ENTRIES_BEFORE + 2);
    await finished;
    cancelTimer();
    await reader.close(CLOSE_TIMEOUT_MS);
  }
}

function metadataOf({ raw, payloadStart }: StoredEntry): { deliverAtTime?: number | bigint | undefined } {
  const start = raw.length >= 6 && raw.readUInt16BE(0) === FRAME.checksumMagic ? 10 : 4;
  try {
    return decodeMessage('MessageMetadata', raw, start, payloadStart);
  } catch {
    return {};
  }
}

/** Whether a reader gets none of `entries`: as batches of no messages that begin their ledger. */
function isNobodys(position: EntryId, look: Look, entries: number): boolean {
  if (look.kind !== 'entry') return true;
  // It may be acknowledged: what is left may be right behind the position, where the reader got nothing.
  const { ledgerId, entryId } = look.entry.id;
  return ledgerId === position.ledgerId && entryId - position.entryId - 1 >= entries;
}

const isLater = (timeMs: number | bigint | undefined, clock: Clock): boolean =>
  timeMs !== undefined && Number(timeMs) > clock.now();
