// Watches the entry ids of a partition for gaps. libpulsar acknowledges and drops what it cannot decode, and a gap is
// the only trace of it. Proves nothing: markers and entries acknowledged earlier leave gaps as well.
import type { EntryId, Logger } from '../ports.ts';
import { compare } from './native-entries.ts';

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
  /** Entries missing so far, of the gaps reported. */
  missing = 0;

  constructor(topic: string, logger: Logger) {
    this.#topic = topic;
    this.#logger = logger;
  }

  /** An entry was handed out: from `first` (a chunked message takes several) to `id`. */
  see(first: EntryId, id: EntryId): void {
    const last = this.#last;
    if (last !== undefined && compare(id, last) <= 0) return;
    // Chunks of one message may stand between entries that came before it.
    this.#open = this.#open.filter(
      (gap) =>
        gap.ledgerId !== first.ledgerId || gap.fromEntryId < first.entryId || gap.toEntryId > id.entryId,
    );
    if (last !== undefined && last.ledgerId === first.ledgerId && first.entryId > last.entryId + 1) {
      this.#open.push({
        ledgerId: last.ledgerId,
        fromEntryId: last.entryId + 1,
        toEntryId: first.entryId - 1,
      });
    }
    this.#last = id;
  }

  /** Reports the gaps before `through`, which is about to be acknowledged; without it all. */
  report(through?: EntryId): void {
    const isDue = (gap: Gap) =>
      through === undefined || compare({ ledgerId: gap.ledgerId, entryId: gap.toEntryId }, through) < 0;
    for (const gap of this.#open.filter(isDue)) {
      this.missing += gap.toEntryId - gap.fromEntryId + 1;
      this.#logger.error(
        { topic: this.#topic, ...gap, missing: this.missing },
        'entries never delivered: undecodable ones are dropped by this driver, markers look the same',
      );
    }
    this.#open = this.#open.filter((gap) => !isDue(gap));
  }
}
