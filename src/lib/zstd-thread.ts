// Zstd on a thread of its own, for Node versions whose zlib has none. Started by the first job, one at a time; it keeps
// no process alive, and when it dies whoever waits for it learns that.
import { Worker } from 'node:worker_threads';
import { BackupError } from '../errors.ts';

/** What zstd needs is not on V8's heap, but in the memory of WebAssembly. */
const RESOURCE_LIMITS = { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 2 };

/** Bytes at the beginning of some memory, which goes to the thread and comes back with the result in it. */
export interface InMemory {
  readonly memory: ArrayBuffer;
  readonly sizeBytes: number;
}

interface Answer extends Partial<InMemory> {
  readonly id: number;
  /** The job failed; the thread goes on. */
  readonly fault?: string;
}

interface Job {
  readonly resolve: (done: InMemory) => void;
  readonly reject: (error: Error) => void;
}

/** The most that a frame of so many bytes can have (zstd's ZSTD_COMPRESSBOUND). */
export const compressedRoomBytes = (bytes: number): number => bytes + (bytes >> 8) + 64;

/** The thread, running or not. */
export class ZstdThread {
  readonly #file: URL;
  #worker: Worker | undefined;
  #jobs = new Map<number, Job>();
  #lastId = 0;
  #isEnding = false;

  /** `file`: the code of the thread. */
  constructor(file: URL) {
    this.#file = file;
  }

  /**
   * Compresses the bytes to one frame. They are gone then; the memory must have room for what does not compress
   * (`compressedRoomBytes`). @throws BackupError `store` where the thread has died
   */
  compress(bytes: InMemory, level: number): Promise<InMemory> {
    return this.#ask('compress', bytes, level);
  }

  /** Decompresses a frame with that many bytes in it. @throws Error where it is damaged; as `compress` */
  async decompress(frame: Uint8Array, contentBytes: number): Promise<Uint8Array> {
    const memory = new ArrayBuffer(Math.max(frame.length, contentBytes));
    new Uint8Array(memory).set(frame);
    const done = await this.#ask('decompress', { memory, sizeBytes: frame.length }, 0);
    return new Uint8Array(done.memory, 0, done.sizeBytes);
  }

  /** Ends the thread, at once if nothing is under way, else after that. The next job starts another. Never throws. */
  async end(): Promise<void> {
    const worker = this.#worker;
    if (worker === undefined) return;
    if (this.#jobs.size > 0) {
      this.#isEnding = true;
      return;
    }
    this.#worker = undefined;
    await worker.terminate();
  }

  #ask(kind: string, { memory, sizeBytes }: InMemory, parameter: number): Promise<InMemory> {
    return new Promise((resolve, reject) => {
      this.#isEnding = false;
      this.#worker ??= this.#start();
      const id = ++this.#lastId;
      this.#jobs.set(id, { resolve, reject });
      this.#worker.ref();
      this.#worker.postMessage({ id, kind, memory, sizeBytes, parameter }, [memory]);
    });
  }

  #start(): Worker {
    const worker = new Worker(this.#file, { resourceLimits: RESOURCE_LIMITS, execArgv: [] });
    worker.unref();
    worker.on('message', (answer: Answer) => this.#onAnswer(answer));
    worker.on('error', (error) => this.#onDeath(worker, error));
    worker.on('exit', (code) => this.#onDeath(worker, new Error(`it ended with code ${code}`)));
    return worker;
  }

  #onAnswer({ id, memory, sizeBytes, fault }: Answer): void {
    const job = this.#jobs.get(id);
    this.#jobs.delete(id);
    if (this.#jobs.size === 0) {
      this.#worker?.unref();
      if (this.#isEnding) void this.end();
    }
    if (memory !== undefined && sizeBytes !== undefined) job?.resolve({ memory, sizeBytes });
    else job?.reject(new Error(fault));
  }

  #onDeath(worker: Worker, cause: Error): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    const jobs = this.#jobs;
    this.#jobs = new Map();
    const error = new BackupError('store', `the zstd thread has died: ${cause.message}`, {
      hint: 'Give it more memory, or set FILE_COMPRESSION=gzip.',
      cause,
    });
    for (const job of jobs.values()) job.reject(error);
  }
}
