// Marks an object as complete: a space after its first record and two after its last one, where JSON allows spaces.
// If an object is cut at the end of a line, only the first mark is left. Objects of earlier versions have no marks.
// Adds marks to bytes and checks lines; decodes nothing.

const LINE_FEED = 0x0a;
const SPACE = 0x20;
const OPENING = Buffer.from(' ');
const CLOSING = Buffer.from('  \n');

/** The bytes that the marks add to an object. */
export const MARK_BYTES = OPENING.length + CLOSING.length - 1;

/** Marks the records of one object, chunk by chunk. */
export class EndMarker {
  #isOpened = false;
  /** Holds the last byte back until it is known whether it is the end. */
  #held: number | undefined;

  /** The bytes of these (complete) records that can be written now: views of their chunks, and single bytes. */
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

  /** The remaining bytes when no more records follow. */
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

/** Checks the lines of one object for the marks. */
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
