// The faults that a test can inject into the loopback broker. Every switch is off at first and can change at any
// time.
import type { StoredEntry } from './entry.ts';

/** How an entry's bytes are spoilt on their way out; what is stored stays as it is. */
export type Corruption = 'checksum' | 'payload' | 'truncated' | ((bytes: Buffer) => Uint8Array);

/**
 * What happens to an acknowledgement: it is not applied and not answered; applied and not answered; the connection ends
 * before it is applied, or after it and before the answer.
 */
export type AckFault = 'ignore' | 'lose-receipt' | 'close-before' | 'close-after';

/** The fault switches. */
export class Faults {
  /** Accepts connections and reads, and answers nothing. */
  isSilent = false;
  /** Answers everything but PING. */
  ignoresPing = false;
  /** HTTP requests are accepted and never answered. */
  isHttpSilent = false;
  /** HTTP requests are answered with this status. */
  httpStatus: number | undefined;
  /** Ends every new connection at once. */
  refusesConnections = false;
  /** Sends so many bytes at a time, with so much time between. */
  slow: { readonly bytes: number; readonly everyMs: number } | undefined;
  /** Announced in CONNECTED. Below 17 there are no ack receipts and no mark-delete place in the last message id. */
  protocolVersion = 21;
  /** So many lookups, by binary protocol or HTTP, are answered with a redirect; Infinity: all. */
  redirectLookups = 0;
  /** Where redirects point to. Left out: back to this broker. */
  redirectTo: { readonly serviceUrl: string; readonly httpUrl: string } | undefined;
  /**
   * Lookups name a broker that cannot be reached, to be connected to through the service URL. Consumers and producers
   * are then refused on connections that do not ask for that broker.
   */
  proxiesThroughServiceUrl = false;
  /** Ends the connection that gets the n-th entry from now on, after that entry; once. */
  closeAfterEntries: number | undefined;

  /** Entries that a subscription does not hand out, and goes on behind: as in an open transaction, or not yet due. */
  keepsBack: ((subscription: string, entry: StoredEntry) => boolean) | undefined;
  /** Answered as a topic's last entry: a lower one, as from a compacted ledger, or none. */
  lastEntry: ((entries: readonly StoredEntry[]) => StoredEntry | undefined) | undefined;
  /** Whether it says that it has transactions. */
  hasTransactions = false;

  /** What happens to the next so many acknowledgements; Infinity: to all. */
  acks: { readonly fault: AckFault; times: number } | undefined;

  readonly #corruptions = new Map<StoredEntry, Corruption>();
  readonly #twice = new Set<StoredEntry>();

  /** An entry arrives spoilt, each time it is delivered. */
  corrupt(entry: StoredEntry, corruption: Corruption): void {
    this.#corruptions.set(entry, corruption);
  }

  /** An entry arrives twice in a row, each time it is delivered. */
  deliverTwice(entry: StoredEntry): void {
    this.#twice.add(entry);
  }

  /** What is sent for an entry, once or twice. */
  bytesToSend(entry: StoredEntry): Uint8Array[] {
    const corruption = this.#corruptions.get(entry);
    const bytes = corruption === undefined ? entry.bytes : spoil(entry.bytes, corruption);
    return this.#twice.has(entry) ? [bytes, bytes] : [bytes];
  }

  /** Counts a delivered entry; true where the connection is to end now. */
  mustCloseNow(): boolean {
    if (this.closeAfterEntries === undefined || --this.closeAfterEntries > 0) return false;
    this.closeAfterEntries = undefined;
    return true;
  }

  /** Counts an acknowledgement, and returns what happens to it. */
  takeAckFault(): AckFault | undefined {
    if (this.acks === undefined || this.acks.times <= 0) return undefined;
    this.acks.times--;
    return this.acks.fault;
  }

  /** Counts a lookup; true where it is to be redirected. */
  mustRedirect(): boolean {
    return this.redirectLookups > 0 && this.redirectLookups-- > 0;
  }
}

function spoil(bytes: Buffer, corruption: Corruption): Uint8Array {
  if (typeof corruption === 'function') return corruption(Buffer.from(bytes));
  if (corruption === 'truncated') return bytes.subarray(0, Math.floor(bytes.length / 2));
  const spoilt = Buffer.from(bytes);
  const at = corruption === 'checksum' ? 2 : spoilt.length - 1;
  spoilt[at] = (spoilt[at] as number) ^ 0xff;
  return spoilt;
}
