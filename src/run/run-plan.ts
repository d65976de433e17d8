// What a run may use, planned before it begins: its time and its memory. A pure function of the settings, of what SCF
// says about the invocation, and of the time at which it began; what is measured on the way is deadline.ts.
import type { RuleConfig } from '../config.ts';
import { BackupError } from '../errors.ts';
import { compressionMemoryMb, compressionReservedMb } from '../format/compression.ts';
import { largestMessageBytes } from '../largest-message.ts';

/** What SCF says about an invocation (SCF's documentation of the Node.js runtime). Fields differ by version. */
export interface ScfContext {
  readonly request_id?: string;
  readonly function_name?: string;
  readonly memory_limit_in_mb?: number;
  readonly time_limit_in_ms?: number;
  getRemainingTimeInMillis?(): number;
}

/** The bounds between which the ends of a run are planned. */
export interface RunTimes {
  /** However slow the store is, the run reads until then. */
  readonly earliestReadingEndAtMs: number;
  /** However fast the store is, the run reads no longer. */
  readonly latestReadingEndAtMs: number;
  /** Kept free for the last acknowledgement, at least. */
  readonly minAcknowledgementMs: number;
  /** Kept free for the manifest. */
  readonly minManifestMs: number;
  readonly maxManifestMs: number;
  /** What is left then is for closing. */
  readonly hardEndAtMs: number;
  /** All is over then, whatever hangs. */
  readonly lastEndAtMs: number;
}

/** How the memory of a run is divided. */
export interface RunMemory {
  /** For the buffers of all open files, and what is on its way to the store. */
  readonly uploadBytes: number;
  /** For entries that were received and not read. */
  readonly receiveBytes: number;
  /** When more is in use, garbage is collected. */
  readonly inUseBytes: number;
  readonly largestMessageBytes: number;
}

export interface RunPlan {
  readonly times: RunTimes;
  readonly memory: RunMemory;
}

/** Where SCF does not say: the limits of a function that nobody has configured. */
const DEFAULT_TIME_LIMIT_MS = 60_000;
const DEFAULT_MEMORY_MB = 256;
/** Between the hard end and the time limit, for closing what is open: so much, twice. */
const GRACE_MS = 2_000;
const MIB = 1_048_576;
/** Node with the code in it takes 71 MB before the first message. */
const MIN_MEMORY_MB = 128;
/** Node, the SDK and the code, before the first message. */
const BASE_MEMORY_MB = 96;
const MIN_BUFFER_BYTES = 4 * MIB;
const MAX_BUFFER_BYTES = 256 * MIB;
/** Heap and buffers of Node at rest, and the smallest buffers. */
const MIN_IN_USE_BYTES = 24 * MIB;

/** @throws BackupError `config` where the function has too little memory */
export function planRun(
  { run, file }: Pick<RuleConfig, 'run' | 'file'>,
  context: ScfContext,
  startedAtMs: number,
): RunPlan {
  const timeLimitMs =
    context.getRemainingTimeInMillis?.() ?? context.time_limit_in_ms ?? DEFAULT_TIME_LIMIT_MS;
  const memoryMb = context.memory_limit_in_mb ?? DEFAULT_MEMORY_MB;
  if (memoryMb < MIN_MEMORY_MB) throw tooLittleMemory(memoryMb);
  const memory = planMemory(memoryMb - compressionMemoryMb(file.compression));
  const inUseBytes = memory.inUseBytes + compressionReservedMb(file.compression) * MIB;
  return {
    times: planTimes(startedAtMs, timeLimitMs, run.reserveSeconds * 1_000),
    memory: { ...memory, inUseBytes },
  };
}

/** A limit of the function that a run works with, and hardly anybody means. */
export interface LowLimit {
  readonly reason: string;
  readonly hint: string;
}

/** SCF gives a function 3 s and 128 MB where its deployment says nothing: so little is said in each run. */
export function lowLimits({ run }: Pick<RuleConfig, 'run'>, context: ScfContext): LowLimit[] {
  const limitMs = context.time_limit_in_ms ?? context.getRemainingTimeInMillis?.() ?? DEFAULT_TIME_LIMIT_MS;
  const memoryMb = context.memory_limit_in_mb ?? DEFAULT_MEMORY_MB;
  const seconds = Math.round(limitMs / 100) / 10;
  return [
    ...(run.reserveSeconds * 1_000 <= limitMs / 2
      ? []
      : [
          {
            reason: `a run has ${seconds} s, and RUN_RESERVE_SECONDS is ${run.reserveSeconds}: it reads for half of them, and stores what it can in the other half`,
            hint: 'Set the time-out of the function to 285 (timeout in serverless.yml, or `rule edit --timeout 285`), or lower RUN_RESERVE_SECONDS.',
          },
        ]),
    ...(memoryMb > MIN_MEMORY_MB
      ? []
      : [
          {
            reason: `the function has ${memoryMb} MB, which leaves little beside Node and little CPU: messages of more than ${largestMessageBytes(memoryMb) / MIB} MiB (in chunks or compressed) are kept raw`,
            hint: 'Set its memory to 512 MB (memorySize in serverless.yml, or `rule edit --memory 512`).',
          },
        ]),
  ];
}

/** `reservedMs` is kept free for what follows reading, at most half of the time. */
function planTimes(startedAtMs: number, timeLimitMs: number, reservedMs: number): RunTimes {
  const endAtMs = startedAtMs + timeLimitMs;
  const reserveMs = Math.min(reservedMs, timeLimitMs / 2);
  const closingMs = Math.min(2 * GRACE_MS, reserveMs / 2);
  return {
    earliestReadingEndAtMs: startedAtMs + timeLimitMs / 2,
    latestReadingEndAtMs: endAtMs - reserveMs,
    minAcknowledgementMs: Math.min(GRACE_MS / 2, reserveMs / 16),
    minManifestMs: Math.min(GRACE_MS, reserveMs / 8),
    // One creation that took very long must not end a run that has hardly begun.
    maxManifestMs: timeLimitMs / 4,
    hardEndAtMs: endAtMs - closingMs,
    lastEndAtMs: endAtMs - closingMs / 2,
  };
}

/** Messages may take what Node itself does not need, with room for its garbage. */
function planMemory(memoryMb: number): RunMemory {
  const freeBytes = Math.max(0, memoryMb - BASE_MEMORY_MB) * MIB;
  const uploadBytes = Math.min(MAX_BUFFER_BYTES, Math.max(MIN_BUFFER_BYTES, freeBytes * 0.25));
  return {
    uploadBytes,
    receiveBytes: uploadBytes / 4,
    inUseBytes: MIN_IN_USE_BYTES + freeBytes * 0.4,
    largestMessageBytes: largestMessageBytes(memoryMb),
  };
}

/** Better than to be killed in mid-run, without a word. */
function tooLittleMemory(memoryMb: number): BackupError {
  const what = `the function has ${memoryMb} MB of memory, which is too little for Node and a single message`;
  return new BackupError('config', what, {
    hint: `Give it ${MIN_MEMORY_MB} MB or more (memorySize in serverless.yml); 512 MB is a good choice.`,
  });
}
