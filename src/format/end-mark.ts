// How an object says by itself that it is whole: by spaces behind its first record (1) and its last (2), where JSON
// allows them. A cut at the end of a line leaves a first record without a last one. Objects from before have no spaces,
// and say nothing. It marks bytes and looks at lines; it decodes none.

const LINE_FEED = 0x0a;
const SPACE = 0x20;
const OPENING = Buffer.from(' ');
const CLOSING = Buffer.from('  \n');

/** What the marks add to the records of an object. */
export const MARK_BYTES = OPENING.length + CLOSING.length - 1;

/** So much at most is held back until it is known whether it is the end. */
const HELD_BYTES = 16_384;

/** Marks the records of one object, as they come, chunk by chunk. */
export class EndMarker {
  #isOpened = false;
  #held: Uint8Array | undefined;

  /** What can be written by now of these records, which are whole ones. */
  *mark(records: Iterable<Uint8Array>): Generator<Uint8Array, void, undefined> {
    for (const chunk of records) {
      if (chunk.length === 0) continue;
      if (this.#held !== undefined) yield this.#held;
      const marked = this.#isOpened ? chunk : this.#open(chunk);
      const split = Math.max(0, marked.length - HELD_BYTES);
      if (split > 0) yield marked.subarray(0, split);
      // A view would keep all of a large chunk in memory.
      this.#held = split > 0 ? Buffer.from(marked.subarray(split)) : marked;
    }
  }

  /** What is left to be written when no more records come. */
  end(): readonly Uint8Array[] {
    const held = this.#held;
    this.#held = undefined;
    return held === undefined ? [] : [held.subarray(0, -1), CLOSING];
  }

  #open(chunk: Uint8Array): Uint8Array {
    const end = chunk.indexOf(LINE_FEED);
    if (end < 0) return chunk;
    this.#isOpened = true;
    return Buffer.concat([chunk.subarray(0, end), OPENING, chunk.subarray(end)]);
  }
}

/** The spaces behind a line: 0 to 3, as marks have them. */
function marksOf(line: string): number {
  let marks = 0;
  while (marks < MARK_BYTES && line.charCodeAt(line.length - 1 - marks) === SPACE) marks++;
  return marks;
}

/** Looks at the lines of one object, for whether it is whole. */
export function createEndCheck(): { see(line: string): void; isCut(): boolean } {
  let first: number | undefined;
  let last = '';
  return {
    see(line) {
      first ??= marksOf(line);
      last = line;
    },
    isCut() {
      const end = marksOf(last);
      const [isOpened, isClosed] = [first === 1 || first === MARK_BYTES, end === 2 || end === MARK_BYTES];
      return isOpened !== isClosed;
    },
  };
}
