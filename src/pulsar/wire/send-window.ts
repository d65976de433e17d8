// The entries of one producer that have no receipt yet, in order. It bounds them, and knows what a receipt means and what
// a new connection has to get. Sends nothing.
import type { OutgoingMessage } from '../../ports.ts';
import type { OutgoingEntry } from './protocol/producer-entry.ts';

const MAX_ENTRIES = 500;

/** An entry without receipt. */
export interface PendingEntry {
  readonly entry: OutgoingEntry;
  /** How often it was sent. */
  sent: number;
}

/** What a receipt says. */
export type ReceiptOutcome =
  /** Of an entry that has its receipt already. */
  | { readonly kind: 'known' }
  /** The broker has the entry. `through`: and everything up to this sequence id, where a message is complete. */
  | { readonly kind: 'received'; readonly through: number | undefined }
  /** The broker dropped the entry, though it cannot have it. */
  | { readonly kind: 'dropped'; readonly entry: OutgoingEntry };

/** The window of one producer, over all its connections. */
export class SendWindow {
  readonly #maxBytes: number;
  #pending: PendingEntry[] = [];
  #sizeBytes = 0;

  /** `maxBytes`: by and large; one entry may always go. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get isEmpty(): boolean {
    return this.#pending.length === 0;
  }

  get isFull(): boolean {
    return this.#sizeBytes > this.#maxBytes || this.#pending.length >= MAX_ENTRIES;
  }

  /** An entry is to be sent. */
  add(entry: OutgoingEntry): PendingEntry {
    const pending = { entry, sent: 0 };
    this.#pending.push(pending);
    this.#sizeBytes += entry.bytes.length;
    return pending;
  }

  /** A receipt came; they come in order. `isDropped`: the broker took the entry for a duplicate. */
  receipt(sequenceId: number, isDropped: boolean): ReceiptOutcome {
    const [first, second] = this.#pending;
    if (first === undefined || first.entry.sequenceId !== sequenceId) return { kind: 'known' };
    const { entry, sent } = first;
    const isLastOfIt = second?.entry.sequenceId !== entry.sequenceId;
    // Brokers up to Pulsar 3.0.0 drop chunks but the first, for all have the sequence id of their message.
    if (isDropped && !(sent > 1 && isLastOfIt)) return { kind: 'dropped', entry };
    this.#pending.shift();
    this.#sizeBytes -= entry.bytes.length;
    return { kind: 'received', through: isLastOfIt ? entry.highestSequenceId : undefined };
  }

  /**
   * What a new connection has to get: everything, in order. `cut` makes the chunks of a message anew: a consumer that has
   * some of the old ones does not wait for a second first one.
   */
  renew(cut: (message: OutgoingMessage) => readonly OutgoingEntry[]): readonly PendingEntry[] {
    const renewed: PendingEntry[] = [];
    let message: OutgoingMessage | undefined;
    for (const pending of this.#pending) {
      const { entry, sent } = pending;
      if (entry.chunkOf === undefined) renewed.push(pending);
      else if (entry.chunkOf !== message) {
        message = entry.chunkOf;
        renewed.push(...cut(message).map((anew) => ({ entry: anew, sent })));
      }
    }
    this.#pending = renewed;
    this.#sizeBytes = renewed.reduce((sum, { entry }) => sum + entry.bytes.length, 0);
    return renewed;
  }
}
