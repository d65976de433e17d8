// Plans the time and memory of a run before it begins: a pure function of the settings, of SCF's limits for the
// invocation, and of its start time. deadline.ts adapts the plan to measurements.
import type { RuleConfig } from '../config.ts';
import { BackupError } from '../errors.ts';
import { compressionMemoryMb, compressionReservedMb } from '../format/compression.ts';
import { largestMessageBytes } from '../largest-message.ts';

/** SCF's data about an invocation (SCF's documentation of the Node.js runtime). Fields differ by version. */
export interface ScfContext {
  readonly request_id?: string;
  readonly function_name?: string;
  readonly memory_limit_in_mb?: number;
  readonly time_limit_in_ms?: number;
  getRemainingTimeInMillis?(): number;
}

/** The limits within which the deadlines of a run are planned. */
export interface RunTimes {
  /** The run reads at least until then, even with a slow store. */
  readonly earliestReadingEndAtMs: number;
  /** The run reads no longer than this, even with a fast store. */
  readonly latestReadingEndAtMs: number;
  /** The minimum time reserved for the last acknowledgement. */
  readonly minAcknowledgementMs: number;
  /** Reserved for the manifest. */
  readonly minManifestMs: number;
  readonly maxManifestMs: number;
  /** The rest is for closing. */
  readonly hardEndAtMs: number;
  /** Everything ends then, even if something hangs. */
  readonly lastEndAtMs: number;
}

/** How the memory of a run is divided. */
export interface RunMemory {
  /** For the buffers of all open files, and bytes in flight to the store. */
  readonly uploadBytes: number;
  /** For entries that are received and not yet read. */
  readonly receiveBytes: number;
  /** Above this, the run collects garbage. */
  readonly inUseBytes: number;
  readonly largestMessageBytes: number;
}

export interface RunPlan {
  readonly times: RunTimes;
  readonly memory: RunMemory;
}

/** If SCF reports none: its default limits. */
const DEFAULT_TIME_LIMIT_MS = 60_000;
const DEFAULT_MEMORY_MB = 256;
/** Reserved twice between the hard end and the time limit, to close connections. */
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

/** A limit that a run can work with, but that is probably a mistake. */
export interface LowLimit {
  readonly reason: string;
  readonly hint: string;
}

/** SCF's defaults are 3 s and 128 MB; each run warns about such limits. */
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

/** `reservedMs`: reserved for the steps after reading, at most half of the time. */
function planTimes(startedAtMs: number, timeLimitMs: number, reservedMs: number): RunTimes {
  const endAtMs = startedAtMs + timeLimitMs;
  const reserveMs = Math.min(reservedMs, timeLimitMs / 2);
  const closingMs = Math.min(2 * GRACE_MS, reserveMs / 2);
  return {
    earliestReadingEndAtMs: startedAtMs + timeLimitMs / 2,
    latestReadingEndAtMs: endAtMs - reserveMs,
    minAcknowledgementMs: Math.min(GRACE_MS / 2, reserveMs / 16),
    minManifestMs: Math.min(GRACE_MS, reserveMs / 8),
    // One very slow creation must not end a run that has just begun.
    maxManifestMs: timeLimitMs / 4,
    hardEndAtMs: endAtMs - closingMs,
    lastEndAtMs: endAtMs - closingMs / 2,
  };
}

/** The memory that Node itself does not need, with room for garbage. */
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

/** Better than being killed in mid-run without an error. */
function tooLittleMemory(memoryMb: number): BackupError {
  const what = `the function has ${memoryMb} MB of memory, which is too little for Node and a single message`;
  return new BackupError('config', what, {
    hint: `Give it ${MIN_MEMORY_MB} MB or more (memorySize in serverless.yml); 512 MB is a good choice.`,
  });
}
