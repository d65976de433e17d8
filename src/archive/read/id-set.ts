// A set of message ids of one partition, compact if they arrive in order: consecutive ids of one batch, or
// consecutive unbatched entries, are one run. Others are kept individually.

import { compareMessageIds, formatMessageId } from '../../format/record.ts';
import { countLeading } from '../../lib/count-leading.ts';
import type { MessageId } from '../../ports.ts';

/** From a first id to a last one, with every id between them. */
interface Run {
  readonly first: MessageId;
  last: MessageId;
}

/** A set of ids. */
export class IdSet {
  readonly #runs: Run[] = [];
  readonly #others = new Set<string>();

  /** The greatest id in it. */
  get greatest(): MessageId | undefined {
    return this.#runs.at(-1)?.last;
  }

  has(id: MessageId): boolean {
    const greatest = this.greatest;
    if (greatest === undefined || compareMessageIds(id, greatest) > 0) return false;
    return this.#isInRun(id) || (this.#others.size > 0 && this.#others.has(formatMessageId(id)));
  }

  add(id: MessageId): void {
    const run = this.#runs.at(-1);
    if (run === undefined || compareMessageIds(id, run.last) > 0) {
      if (run !== undefined && isNext(run.last, id)) run.last = id;
      else this.#runs.push({ first: id, last: id });
    } else if (!this.has(id)) this.#others.add(formatMessageId(id));
  }

  /** Runs are in order, so the one that could hold it is found by halves. */
  #isInRun(id: MessageId): boolean {
    const begun = countLeading(this.#runs, ({ first }) => compareMessageIds(first, id) <= 0);
    const run = this.#runs[begun - 1];
    return run !== undefined && compareMessageIds(id, run.last) <= 0 && isLike(run.first, id);
  }
}

/** Nobody knows how many messages a batch has: only inside it, or between entries without batches, is there a next. */
function isNext(a: MessageId, b: MessageId): boolean {
  if (a.ledgerId !== b.ledgerId) return false;
  if (a.batchIndex < 0) return b.batchIndex < 0 && b.entryId === a.entryId + 1;
  return b.entryId === a.entryId && b.batchIndex === a.batchIndex + 1;
}

/** A run of entries without batches holds no id of a batch. */
const isLike = (a: MessageId, b: MessageId): boolean => a.batchIndex < 0 === b.batchIndex < 0;
