// Why a broker hands out nothing of a backlog. Looks at the next entry as a reader of its own, which acknowledges
// nothing and of which nothing stays. It gives a reason only where what it saw leaves no other.
import { randomBytes } from 'node:crypto';
import { compareEntries } from '../../entry-order.ts';
import type { Clock, EntryId, HeldBackReason } from '../../ports.ts';
import type { BrokerConsumer } from './broker-consumer.ts';
import { decodeMessage } from './codec.ts';
import { readStoredEntry, type StoredEntry } from './entry-decoder.ts';
import { FRAME, SUBSCRIPTION_TYPE } from './protocol-tables.ts';
import { startTimer } from './timer.ts';

/** After so long a silence it is worth to look. */
const LOOK_AFTER_MS = 1_500;
/** How long a reader waits for its next entry. */
const LOOK_MS = 1_000;
/** What a reader gets at once and the subscription does not get for so long is kept from the subscription. */
const KEPT_FROM_US_AFTER_MS = 2_500;
/**
 * A reader begins so many entries before. Brokers pass over a batch of no messages, unless they read it together with
 * others, and the first that a reader gets is often read alone (ManagedCursorImpl.applyMaxSizeCap).
 */
const ENTRIES_BEFORE = 4;
const CLOSE_TIMEOUT_MS = 2_000;

/** What a look finds: the next entry, or that only those before come (`end`), or nothing at all, which says nothing. */
type Look = { readonly kind: 'entry'; readonly entry: StoredEntry } | { readonly kind: 'end' | 'nothing' };

export interface HeldBackOptions {
  readonly topic: string;
  readonly isOrdered: boolean;
  readonly clock: Clock;
  readonly nextConsumerId: () => number;
  readonly consumer: () => BrokerConsumer;
  /** The last entry that came or was acknowledged. */
  readonly position: () => EntryId | undefined;
  /** How many entries wait for the rest of their chunked messages. */
  readonly incompleteChunks: () => number;
  /** Hands out an entry without messages, which brokers pass over where it stands alone. */
  readonly onPassedOver: (entry: StoredEntry) => void;
}

/** Looks into the silence of one partition. */
export class HeldBack {
  readonly #options: HeldBackOptions;
  /** What stands next; kept until something comes. */
  #next: StoredEntry | undefined;
  /** A broker that refuses to be asked in this way is not asked again. */
  #isRefused = false;
  #hasTransactions: Promise<boolean> | undefined;

  constructor(options: HeldBackOptions) {
    this.#options = options;
  }

  /** Something came: what was found before is out of date. */
  reset(): void {
    this.#next = undefined;
  }

  /** Why `entries` do not come that are to come; `undefined`: they may yet. @throws BackupError `source` */
  async reasons(entries: number, quietMs: number): Promise<readonly HeldBackReason[] | undefined> {
    const chunks = this.#options.incompleteChunks();
    const known: HeldBackReason[] = chunks === 0 ? [] : ['incomplete chunks'];
    if (entries <= chunks) return known;
    const other = await this.#other(quietMs);
    return other === undefined ? undefined : [...known, other];
  }

  /** The next entry with messages behind `position`, as far as a reader gets it at once. Never throws. */
  async nextBehind(position: EntryId): Promise<EntryId | undefined> {
    const look = await this.#lookOnce(position);
    return look?.kind === 'entry' && look.entry.permits > 0 ? look.entry.id : undefined;
  }

  async #other(quietMs: number): Promise<HeldBackReason | undefined> {
    const { isOrdered } = this.#options;
    if (isOrdered && quietMs < LOOK_AFTER_MS) return undefined;
    const position = await this.#position();
    if (position === undefined) return undefined;
    const look = await this.#lookOnce(position);
    if (look === undefined) return undefined;
    if (look.kind === 'entry') {
      this.#next = look.entry;
      const { deliverAtTime } = metadataOf(look.entry);
      if (!isOrdered) return isLater(deliverAtTime, this.#options.clock) ? 'delayed messages' : undefined;
      if (look.entry.permits === 0) {
        this.#next = undefined;
        this.#options.onPassedOver(look.entry);
        return undefined;
      }
    }
    // Where others get what stands before and nothing more, nobody may. With nothing before it that is no proof.
    const isProven = look.kind === 'end' || quietMs >= KEPT_FROM_US_AFTER_MS;
    const isNothing = look.kind === 'nothing' && position.entryId >= 0;
    if (!isOrdered || isNothing || !isProven) return undefined;
    return (await this.#brokerHasTransactions()) ? 'open transaction' : undefined;
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
    if (this.#next !== undefined) return { kind: 'entry', entry: this.#next };
    if (this.#isRefused) return undefined;
    try {
      return await this.#look(position);
    } catch {
      this.#isRefused = true;
      return undefined;
    }
  }

  async #position(): Promise<EntryId | undefined> {
    const { isOrdered, consumer, position } = this.#options;
    return isOrdered ? position() : (await consumer().lastPositions()).acknowledged;
  }

  /** Reads from a little before `position` on. */
  async #look(position: EntryId): Promise<Look> {
    const { topic, clock, nextConsumerId, consumer } = this.#options;
    const reader = consumer().beside(nextConsumerId());
    let look: Look = { kind: 'nothing' };
    let finish = (): void => undefined;
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    await reader.subscribe(
      {
        topic,
        subscription: `tdmq-backup-look-${randomBytes(4).toString('hex')}`,
        consumerName: 'tdmq-backup-look',
        subType: SUBSCRIPTION_TYPE.Exclusive,
        initialPosition: 'earliest',
        startAt: { ...position, entryId: Math.max(0, position.entryId - ENTRIES_BEFORE) },
      },
      {
        onEntry: (id, bytes) => {
          const entry = readStoredEntry(id, bytes);
          if (compareEntries(id, position) <= 0) {
            look = { kind: 'end' };
            reader.giveMore(Math.max(1, entry.permits));
          } else if (look.kind !== 'entry') {
            look = { kind: 'entry', entry };
            finish();
          }
        },
        onActiveChange: () => undefined,
        onEndOfTopic: () => undefined,
        onClosedByBroker: () => finish(),
        onConnectionLost: () => finish(),
        onFault: () => finish(),
      },
    );
    const cancelTimer = startTimer(clock, LOOK_MS, finish);
    reader.giveMore(ENTRIES_BEFORE + 2);
    await finished;
    cancelTimer();
    await reader.close(CLOSE_TIMEOUT_MS);
    return look;
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

const isLater = (timeMs: number | bigint | undefined, clock: Clock): boolean =>
  timeMs !== undefined && Number(timeMs) > clock.now();
