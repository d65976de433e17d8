// Reassembles entries from single messages. pulsar-client delivers messages and may split an entry at the end of a
// batchReceive; this returns an entry only when it is certainly complete, so that none is acknowledged in part.
import { BackupError } from '../../errors.ts';
import { compareEntries } from '../../format/entry-order.ts';
import type { EntryId, Logger, Message, ReadableEntry, UnreadableEntry } from '../../ports.ts';
import type { NativeMessage, NativeMessageId } from './addon.ts';
import { batchSizeOf, parsePosition, rawOfEncrypted, toMessage } from './message.ts';

/**
 * How long an entry waits for its last message. libpulsar splits an entry in one step, so only a stalled thread
 * delays the rest; if it has not arrived by then, the broker left it out (acknowledged by batch index).
 */
export const SHORT_ENTRY_MS = 3_000;

interface Held {
  readonly id: EntryId;
  readonly messages: Message[];
  readonly ids: NativeMessageId[];
  /** As published; `undefined` where the client does not report it. */
  readonly batchSize: number | undefined;
  readonly sinceMs: number;
}

/** A complete entry, with the ids that acknowledge it. */
export interface NativeEntry {
  readonly entry: ReadableEntry | UnreadableEntry;
  /** Of every message in it, in order. */
  readonly ids: readonly NativeMessageId[];
  /** Where the entry begins: a chunked message takes several. */
  readonly first: EntryId;
}

/** Collects the messages of one consumer, in the order of their arrival, into entries. */
export class NativeEntries {
  readonly #partition: number;
  readonly #topic: string;
  readonly #logger: Logger;
  readonly #ready: NativeEntry[] = [];
  #held: Held | undefined;
  /** Of all payloads so far. */
  messages = 0;
  bytes = 0;
  /** The entry handed over last, and the last message in it. */
  #last: { readonly id: EntryId; readonly batchIndex: number } | undefined;

  constructor(partition: number, topic: string, logger: Logger) {
    this.#partition = partition;
    this.#topic = topic;
    this.#logger = logger;
  }

  /** The next complete entry. */
  take(): NativeEntry | undefined {
    return this.#ready.shift();
  }

  /** Of the payloads of the entry that `take` gives next; 0 where there is none. */
  get nextBytes(): number {
    const [next] = this.#ready;
    if (next === undefined) return 0;
    const { entry } = next;
    if (entry.kind === 'unreadable') return entry.raw.reduce((sum, { bytes }) => sum + bytes.length, 0);
    return entry.messages.reduce((sum, { payload }) => sum + (payload?.length ?? 0), 0);
  }

  /** Whether a part of an entry waits for its rest. */
  get isHolding(): boolean {
    return this.#held !== undefined;
  }

  /** Adds a message. @throws BackupError where it belongs to an entry that has already been handed over without it */
  add(native: NativeMessage, nowMs: number): void {
    const id = native.getMessageId();
    const at = parsePosition(id);
    const message = () => this.#counted(toMessage(native, at, this.#partition, this.#topic));
    const held = this.#held;
    if (held !== undefined && compareEntries(held.id, at) === 0 && at.batchIndex > lastIndexOf(held)) {
      held.messages.push(message());
      held.ids.push(id);
      this.#releaseIfWhole(held);
      return;
    }
    this.#settleHeld(at);
    const entryId = { ledgerId: at.ledgerId, entryId: at.entryId };
    const encryption = native.getEncryptionContext?.();
    if (encryption?.isDecryptionFailed) {
      const reason = `It is encrypted (${encryption.algorithm || 'algorithm not named'}, keys ${encryption.keys.map((one) => one.key).join(', ')}).`;
      const raw = [{ id: entryId, bytes: rawOfEncrypted(native, encryption) }];
      this.#release({ kind: 'unreadable', id: entryId, topic: this.#topic, reason, raw }, [id], at.first);
      return;
    }
    if (at.batchIndex < 0) {
      this.#release({ kind: 'entry', id: entryId, messages: [message()] }, [id], at.first);
      return;
    }
    if (
      this.#last !== undefined &&
      compareEntries(this.#last.id, at) === 0 &&
      at.batchIndex > this.#last.batchIndex
    ) {
      throw new BackupError(
        'source',
        `entry ${at.ledgerId}:${at.entryId} of ${this.#topic} came in two parts`,
        {
          retryable: true,
          hint: 'Nothing of it was acknowledged and the next run takes it whole. If it happens again, use PULSAR_DRIVER=wire.',
        },
      );
    }
    const started: Held = {
      id: entryId,
      messages: [message()],
      ids: [id],
      batchSize: batchSizeOf(id),
      sinceMs: nowMs,
    };
    this.#held = started;
    this.#releaseIfWhole(started);
  }

  #counted(message: Message): Message {
    this.messages++;
    this.bytes += message.payload?.length ?? 0;
    return message;
  }

  /**
   * Nothing more arrives: once it has waited long enough, stops waiting for the rest of an entry and returns true.
   */
  settle(nowMs: number): boolean {
    const held = this.#held;
    if (held === undefined || nowMs - held.sinceMs < SHORT_ENTRY_MS) return false;
    this.#releaseShort(held);
    return true;
  }

  #releaseIfWhole(held: Held): void {
    if (held.batchSize !== undefined && lastIndexOf(held) >= held.batchSize - 1) this.#releaseHeld(held);
  }

  /** Another entry begins at `next`. If that is an earlier one, the broker redelivers, including the held entry. */
  #settleHeld(next: EntryId): void {
    const held = this.#held;
    if (held === undefined) return;
    if (compareEntries(held.id, next) < 0) this.#releaseShort(held);
    else this.#held = undefined;
  }

  #releaseShort(held: Held): void {
    if (held.batchSize !== undefined) {
      this.#logger.warn(
        { topic: this.#topic, ...held.id, messages: held.messages.length, published: held.batchSize },
        'entry delivered without its last messages',
      );
    }
    this.#releaseHeld(held);
  }

  #releaseHeld(held: Held): void {
    this.#held = undefined;
    this.#release({ kind: 'entry', id: held.id, messages: held.messages }, held.ids, held.id);
    this.#last = { id: held.id, batchIndex: lastIndexOf(held) };
  }

  #release(entry: ReadableEntry | UnreadableEntry, ids: readonly NativeMessageId[], first: EntryId): void {
    this.#last = undefined;
    this.#ready.push({ entry, ids, first });
  }
}

const lastIndexOf = (held: Held): number =>
  (held.messages[held.messages.length - 1] as Message).id.batchIndex;
