// One value for each of any number of groups, in bounded memory: what does not fit is sorted and written to a file that
// nobody else can open, and merged at the end. It leaves no file behind, even when it is killed.
import { randomUUID } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What is held in memory, about, before it is written. */
const HELD_BYTES = 32 * 1_048_576;
/** What a group takes beside its text. */
const GROUP_BYTES = 100;
/** What readers of all sorted pieces hold together, and the least that one holds. */
const READ_BYTES = 8 * 1_048_576;
const MIN_READ_BYTES = 4_096;
const WRITE_BYTES = 1_048_576;
const LINE_FEED = 0x0a;

/** How values are put together and written; a written one has no line break. */
export interface GroupValues<Value> {
  /** The value of a group that has both. */
  combine(earlier: Value, later: Value): Value;
  sizeOf(value: Value): number;
  write(value: Value): string;
  read(text: string): Value;
}

export interface SpilledGroups<Value> {
  /** Wait for the answer, if there is one, before the next call. */
  add(group: string, value: Value): Promise<void> | undefined;
  /** Every group once, in the order of code units. Call it once, when all were added. */
  entries(): AsyncGenerator<readonly [group: string, value: Value], void, undefined>;
  close(): Promise<void>;
}

interface Piece {
  readonly from: number;
  readonly to: number;
}

/** No groups yet; holds about `heldBytes`, and writes the rest under `folder`. */
export function createSpilledGroups<Value>(
  { combine, sizeOf, write, read }: GroupValues<Value>,
  { heldBytes = HELD_BYTES, folder = tmpdir() } = {},
): SpilledGroups<Value> {
  let held = new Map<string, Value>();
  let bytes = 0;
  let file: FileHandle | undefined;
  let end = 0;
  const pieces: Piece[] = [];

  const sorted = () => [...held].sort(([a], [b]) => (a < b ? -1 : 1));

  async function spill(): Promise<void> {
    file ??= await openNameless(folder);
    const from = end;
    const groups = sorted();
    held = new Map();
    bytes = 0;
    let text = '';
    for (const [i, [group, value]] of groups.entries()) {
      text += `${JSON.stringify(group)}\t${write(value)}\n`;
      if (text.length < WRITE_BYTES && i < groups.length - 1) continue;
      const buffer = Buffer.from(text);
      for (let at = 0; at < buffer.length; )
        at += (await file.write(buffer, at, buffer.length - at, end + at)).bytesWritten;
      end += buffer.length;
      text = '';
    }
    pieces.push({ from, to: end });
  }

  async function* readPiece({ from, to }: Piece, sizeBytes: number) {
    for await (const line of linesOf(file as FileHandle, from, to, sizeBytes)) {
      const tab = line.indexOf('\t');
      yield [JSON.parse(line.slice(0, tab)) as string, read(line.slice(tab + 1))] as const;
    }
  }

  return {
    add(group, value) {
      const before = held.get(group);
      const now = before === undefined ? value : combine(before, value);
      held.set(group, now);
      bytes += before === undefined ? GROUP_BYTES + 2 * group.length : -sizeOf(before);
      bytes += sizeOf(now);
      return bytes > heldBytes ? spill() : undefined;
    },
    async *entries() {
      if (pieces.length === 0) {
        yield* sorted();
        return;
      }
      if (held.size > 0) await spill();
      const sizeBytes = Math.max(MIN_READ_BYTES, Math.min(65_536, READ_BYTES / pieces.length));
      const merge = (some: readonly Piece[]): Sorted<Value> => {
        const [first, ...rest] = some as [Piece, ...Piece[]];
        if (rest.length === 0) return readPiece(first, sizeBytes);
        const half = some.length >> 1;
        return mergeTwo(merge(some.slice(0, half)), merge(some.slice(half)), combine);
      };
      yield* merge(pieces);
    },
    async close() {
      await file?.close();
    },
  };
}

type Sorted<Value> = AsyncGenerator<readonly [string, Value], void, undefined>;

/** `earlier` and `later` as one. */
async function* mergeTwo<Value>(
  earlier: Sorted<Value>,
  later: Sorted<Value>,
  combine: GroupValues<Value>['combine'],
): Sorted<Value> {
  let [a, b] = [await earlier.next(), await later.next()];
  while (!a.done && !b.done) {
    const [[one, value], [other, newer]] = [a.value, b.value];
    yield one === other ? [one, combine(value, newer)] : one < other ? a.value : b.value;
    if (one <= other) a = await earlier.next();
    if (other <= one) b = await later.next();
  }
  for (; !a.done; a = await earlier.next()) yield a.value;
  for (; !b.done; b = await later.next()) yield b.value;
}

/** A file for this process alone: its name goes at once, where the system can do that. */
async function openNameless(folder: string): Promise<FileHandle> {
  const path = join(folder, `tdmq-backup-${randomUUID()}`);
  const file = await open(path, 'wx+', 0o600);
  await rm(path, { force: true });
  return file;
}

async function* linesOf(file: FileHandle, from: number, to: number, sizeBytes: number) {
  const buffer = Buffer.allocUnsafe(sizeBytes);
  let rest: Buffer[] = [];
  for (let at = from; at < to; ) {
    const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, to - at), at);
    if (bytesRead === 0) throw new Error('a temporary file is shorter than what was written to it');
    at += bytesRead;
    let start = 0;
    for (
      let end = buffer.indexOf(LINE_FEED);
      end >= 0 && end < bytesRead;
      end = buffer.indexOf(LINE_FEED, start)
    ) {
      yield Buffer.concat([...rest, buffer.subarray(start, end)]).toString();
      rest = [];
      start = end + 1;
    }
    if (start < bytesRead) rest.push(Buffer.from(buffer.subarray(start, bytesRead)));
  }
}
