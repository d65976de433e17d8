// Writes Parquet files, one at a time, from rows as lines of JSON. DuckDB runs in a separate thread: rows are sent in
// pieces with few in flight, so memory does not grow with a file. Never replaces a file that is being read.
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { MessageChannel, Worker } from 'node:worker_threads';
import { BackupError, messageOf } from '../../errors.ts';
import { fileError } from '../catalog/folder-listing.ts';
import { sqlText } from './columns.ts';

const ENCODER = new TextEncoder();
/** Of lines that leave together. */
const PIECE_BYTES = 1_000_000;
const LINE_FEED = 0x0a;
const BYTES_ON_THEIR_WAY = 3 * PIECE_BYTES;
/** Of rows before they are compressed: engines read a group as a whole, and a group is held while it is written. */
const ROW_GROUP_BYTES = 32_000_000;

/** How many bytes of rows are a row group, in files of that size. */
export const rowGroupBytes = (fileBytes: number): number =>
  Math.round(Math.max(25_000, Math.min(ROW_GROUP_BYTES, fileBytes / 4)));

export type ParquetCompression = 'zstd' | 'snappy';

export interface ParquetOptions {
  readonly path: string;
  /** See selectOf. */
  readonly select: string;
  readonly compression: ParquetCompression;
  /** Files are not meant to be larger: then row groups are a part of this. */
  readonly fileBytes: number;
}

/** A file that is being written. */
export interface ParquetFile {
  /**
   * `line`: JSON, whose bytes are copied; `isOwn`: nobody else needs its memory, which goes where the line goes. Whether
   * to call `untilTaken` before much more is written.
   */
  write(line: string | Uint8Array<ArrayBuffer>, isOwn?: boolean): boolean;
  /** Resolves when there is room for more, or when no more bytes than that are on their way. @throws BackupError */
  untilTaken(bytes?: number): Promise<void>;
  /** Resolves when the file is whole. @throws BackupError `corrupt` where rows are missing in it */
  close(): Promise<{ rows: number }>;
  /** Ends it; what there is of the file is for nobody. Never throws. */
  discard(): Promise<void>;
}

/** A piece that the thread has no need of any more. */
interface Taken {
  readonly file: number;
  readonly sizeBytes: number;
  readonly spare?: ArrayBuffer;
}

const NONE = new Uint8Array(0);
/** A file that is given up may take so long to end. */
const GIVE_UP_MS = 300;

/** The thread that writes files. */
export interface ParquetWriter {
  open(options: ParquetOptions): ParquetFile;
  /** Never throws. */
  end(): Promise<void>;
}

/** @throws BackupError `config` where DuckDB is not installed */
export function expectDuckDb(): void {
  try {
    createRequire(import.meta.url).resolve('@duckdb/node-api');
  } catch (cause) {
    throw withoutDuckDb(cause);
  }
}

const withoutDuckDb = (cause: unknown) =>
  new BackupError('config', 'DuckDB is not installed: this command needs the package @duckdb/node-api', {
    hint: 'npm install @duckdb/node-api, where tdmq-backup is installed (70 MB, nothing else is downloaded). The other commands do without.',
    cause,
  });

const notLoaded = (cause: unknown) =>
  new BackupError('config', `DuckDB cannot be loaded: ${messageOf(cause)}`, {
    hint: 'npm install @duckdb/node-api again: it brings what this machine needs as a package of its own (npm must not leave out optional ones).',
    cause,
  });

/** Starts the thread; `folder` gets what does not fit into its memory. @throws BackupError `config` where DuckDB does not load */
export async function startParquetWriter(folder: string): Promise<ParquetWriter> {
  expectDuckDb();
  const { port1: port, port2 } = new MessageChannel();
  /** How many were sent, and whether a file is written. */
  const pieces = new Int32Array(new SharedArrayBuffer(8));
  const worker = new Worker(new URL('./parquet-worker.mjs', import.meta.url), {
    workerData: { port: port2, pieces, folder, pieceBytes: PIECE_BYTES },
    transferList: [port2],
    execArgv: [],
  });
  let onTaken: () => void = () => undefined;
  let onFailed: (error: unknown) => void = () => undefined;
  let waitingBytes = 0;
  let files = 0;
  /** The memory of pieces that were taken: else it would be left for V8 to find, of which there would be much more. */
  const spares: ArrayBuffer[] = [];
  port.on('message', ({ file, sizeBytes, spare }: Taken) => {
    if (spare !== undefined) spares.push(spare);
    if (file !== files) return;
    waitingBytes -= sizeBytes;
    onTaken();
  });
  port.unref();
  worker.on('error', (error) => onFailed(notLoaded(error)));
  await Promise.race([
    once(worker, 'message'),
    new Promise<never>((_, reject) => {
      onFailed = reject;
    }),
  ]);

  function send(piece: Uint8Array<ArrayBuffer> | null): void {
    port.postMessage({ file: files, piece }, piece === null ? [] : [piece.buffer]);
    Atomics.add(pieces, 0, 1);
    Atomics.notify(pieces, 0);
  }

  /** A process that ends while DuckDB writes is aborted with a stack trace: the file is given up first. */
  function giveUp(): void {
    if (Atomics.load(pieces, 1) === 0) return;
    send(null);
    Atomics.wait(pieces, 1, 1, GIVE_UP_MS);
  }
  process.on('exit', giveUp);

  function open({ path, select, compression, fileBytes }: ParquetOptions): ParquetFile {
    const groupBytes = rowGroupBytes(fileBytes);
    const format = `FORMAT parquet, COMPRESSION ${compression}, ROW_GROUP_SIZE 122880, ROW_GROUP_SIZE_BYTES ${groupBytes}, USE_TMP_FILE false`;
    const pieceBytes = Math.min(PIECE_BYTES, groupBytes);
    let piece = NONE;
    let used = 0;
    let rows = 0;
    let failure: BackupError | undefined;
    const ended = new Promise<{ rows: number }>((resolve, reject) => {
      onFailed = reject;
      worker.once('message', ({ rows, fault }: { rows?: number; fault?: string }) => {
        if (fault === undefined) resolve({ rows: Number(rows) });
        else reject(notWritten(path, fault));
      });
    });
    ended.catch((error) => {
      failure = error;
      onTaken();
    });
    waitingBytes = 0;
    files++;
    worker.postMessage({ file: files, sql: `COPY (${select}) TO ${sqlText(path)} (${format})` });

    function sendPiece(): void {
      if (used === 0) return;
      send(piece.subarray(0, used));
      waitingBytes += used;
      piece = NONE;
      used = 0;
    }

    function newPiece(): Uint8Array<ArrayBuffer> {
      for (let spare = spares.pop(); spare !== undefined; spare = spares.pop())
        if (spare.byteLength === pieceBytes) return new Uint8Array(spare);
      return new Uint8Array(pieceBytes);
    }

    /** Lines in a piece are apart by a line feed. */
    function append(line: Uint8Array<ArrayBuffer>, isOwn: boolean): void {
      if (used + 1 + line.byteLength > piece.byteLength) {
        sendPiece();
        if (line.byteLength > pieceBytes) {
          piece = isOwn ? line : new Uint8Array(line);
          used = line.byteLength;
          sendPiece();
          return;
        }
        piece = newPiece();
      }
      if (used > 0) piece[used++] = LINE_FEED;
      piece.set(line, used);
      used += line.byteLength;
    }

    async function untilTaken(bytes = BYTES_ON_THEIR_WAY - 1): Promise<void> {
      while (waitingBytes > bytes && failure === undefined)
        await new Promise<void>((resolve) => {
          onTaken = resolve;
        });
      if (failure !== undefined) throw failure;
    }

    return {
      write(line, isOwn = false) {
        if (typeof line === 'string') append(ENCODER.encode(line), true);
        else append(line, isOwn);
        rows++;
        return waitingBytes >= BYTES_ON_THEIR_WAY;
      },
      untilTaken,
      async close() {
        sendPiece();
        send(new Uint8Array(0));
        const written = await ended;
        if (written.rows === rows) return { rows };
        throw notWritten(path, `${written.rows} of ${rows} rows are in it`);
      },
      async discard() {
        send(null);
        await ended.catch(() => undefined);
      },
    };
  }

  return {
    open,
    async end() {
      giveUp();
      process.off('exit', giveUp);
      port.close();
      await worker.terminate();
    },
  };
}

/** What DuckDB said of a file: the disk's refusal, by the text of the system, or that of a value. */
function notWritten(path: string, what: string): BackupError {
  const code = Object.entries(REFUSALS).find(([text]) => what.endsWith(text))?.[1];
  if (code !== undefined || what.startsWith('IO Error'))
    return fileError('write', path, Object.assign(new Error(what), { code, syscall: 'write', path }));
  return new BackupError('corrupt', `${path} could not be written: ${what}`, {
    hint: 'What was exported before is as it was. Call the command again; if it fails again, the message says which value DuckDB does not take.',
    details: { path },
  });
}

const REFUSALS: Readonly<Record<string, string>> = {
  'No space left on device': 'ENOSPC',
  'Disk quota exceeded': 'EDQUOT',
  'File too large': 'EFBIG',
  'Read-only file system': 'EROFS',
  'Input/output error': 'EIO',
};
