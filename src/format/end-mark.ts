// How an object says by itself that it is whole: by spaces behind its first record (1) and its last (2), where JSON
// allows them. A cut at the end of a line leaves a first record without a last one. Objects from before have no spaces,
// and say nothing. It marks bytes and looks at lines; it decodes none.

const LINE_FEED = 0x0a;
const SPACE = 0x20;
const OPENING = Buffer.from(' ');
const CLOSING = Buffer.from('  \n');

/** What the marks add to the records of an object. */
export const MARK_BYTES = OPENING.length + CLOSING.length - 1;

/** Marks the records of one object, as they come, chunk by chunk. */
export class EndMarker {
  #isOpened = false;
  /** The last byte is held back until it is known whether it is the end. */
  #held: number | undefined;

  /** What can be written by now of these records, which are whole ones: views of their chunks, and single bytes. */
  *mark(records: Iterable<Uint8Array>): Generator<Uint8Array, void, undefined> {
    for (const chunk of records) {
      if (chunk.length === 0) continue;
      if (this.#held !== undefined) yield Buffer.of(this.#held);
      this.#held = chunk[chunk.length - 1];
      let start = 0;
      if (!this.#isOpened) {
        const end = chunk.indexOf(LINE_FEED);
        if (end >= 0) {
          this.#isOpened = true;
          if (end > 0) yield chunk.subarray(0, end);
          yield OPENING;
          start = end;
        }
      }
      if (start < chunk.length - 1) yield chunk.subarray(start, -1);
    }
  }

  /** What is left to be written when no more records come. */
  end(): readonly Uint8Array[] {
    return this.#held === undefined ? [] : [CLOSING];
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
