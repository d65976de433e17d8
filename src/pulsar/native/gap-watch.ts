// Finds gaps in the entry ids of a partition: entries that libpulsar did not deliver. libpulsar holds the chunks of a
// message until the last one arrives, and acknowledges and drops entries that it cannot decode, without reporting
// which.
import { compareEntries, isUpTo } from '../../format/entry-order.ts';
import type { EntryId, Logger } from '../../ports.ts';

interface Gap {
  readonly ledgerId: number;
  readonly fromEntryId: number;
  readonly toEntryId: number;
}

/** Finds gaps between entries that are handed out in order (Exclusive, Failover). */
export class NativeGaps {
  readonly #topic: string;
  readonly #logger: Logger;
  #last: EntryId | undefined;
  #open: Gap[] = [];

  constructor(topic: string, logger: Logger) {
    this.#topic = topic;
    this.#logger = logger;
  }

  /**
   * The first entry that does not follow directly on the one before it. From there on "everything before it" may be
   * more than was handed over (the chunks of an incomplete message), so each entry is to be acknowledged by itself.
   */
  oneByOneFrom: EntryId | undefined;

  /** An entry was handed out: from `first` (a chunked message takes several, and others may come between) to `id`. */
  see(first: EntryId, id: EntryId): void {
    const last = this.#last;
    if (last !== undefined && isUpTo(id, last)) return;
    this.#last = id;
    const isBehindGap =
      last !== undefined && last.ledgerId === first.ledgerId && first.entryId > last.entryId + 1;
    if (isBehindGap || compareEntries(first, id) !== 0) this.oneByOneFrom ??= id;
    if (isBehindGap) {
      const { ledgerId, entryId } = last;
      this.#open.push({ ledgerId, fromEntryId: entryId + 1, toEntryId: first.entryId - 1 });
    }
    // What was missing was its chunks.
    this.#open = this.#open.filter(
      (gap) =>
        gap.ledgerId !== first.ledgerId || gap.fromEntryId < first.entryId || gap.toEntryId > id.entryId,
    );
  }

  /** Logs the gaps that nothing has filled. They prove nothing: markers, and entries acknowledged earlier, leave gaps too. */
  report(): void {
    let missing = 0;
    for (const gap of this.#open) {
      missing += gap.toEntryId - gap.fromEntryId + 1;
      this.#logger.error(
        { topic: this.#topic, ...gap, missing },
        'entries never delivered: undecodable ones are dropped by this driver, markers look the same',
      );
    }
    this.#open = [];
  }
}
