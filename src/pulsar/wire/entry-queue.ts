// The entries of a partition that wait to be handed out, first in, first out.
import type { StoredEntry } from './protocol/entry-decoder.ts';

const COMPACT_AFTER = 1_024;

/** A queue whose `shift` costs the same however long it is. */
export class EntryQueue {
  #entries: (StoredEntry | undefined)[] = [];
  #head = 0;

  push(entry: StoredEntry): void {
    this.#entries.push(entry);
  }

  shift(): StoredEntry | undefined {
    const entry = this.#entries[this.#head];
    if (entry === undefined) return undefined;
    this.#entries[this.#head++] = undefined;
    if (this.#head === this.#entries.length) this.clear();
    else if (this.#head >= COMPACT_AFTER) {
      this.#entries.splice(0, this.#head);
      this.#head = 0;
    }
    return entry;
  }

  peek(): StoredEntry | undefined {
    return this.#entries[this.#head];
  }

  clear(): void {
    this.#entries = [];
    this.#head = 0;
  }
}
