// The largest chunked or compressed message that a process assembles in memory; larger ones are kept raw. The only
// source of this size, for the driver, for `check` and for docs/format.md.
import { constants, isUtf8 } from 'node:buffer';
import { escapedBytes, MAX_ESCAPE_BYTES } from './lib/json-text.ts';

const MIB = 1_048_576;
/** Node, the SDK and the code, and what is on its way to COS. */
const OCCUPIED_MB = 120;
/**
 * For a compressed and chunked message: chunks of two such messages, the assembled payload, and the decompressed one.
 */
const COPIES = 4;
const MIN_MB = 6;
/** Reading its record back takes several times as much. */
const MAX_MB = 256;
/** A record is read back as one string. Room for what is before the value. */
const MAX_RECORD_BYTES = constants.MAX_STRING_LENGTH - 16 * MIB;
/** What SCF can give a function. */
const MEMORY_STEP_MB = 128;
const MAX_MEMORY_MB = 3_072;

/** The largest message, in bytes, that a process with `memoryMb` assembles. */
export function largestMessageBytes(memoryMb: number): number {
  const fittingMb = Math.floor((memoryMb - OCCUPIED_MB) / COPIES);
  return Math.min(MAX_MB, Math.max(MIN_MB, fittingMb)) * MIB;
}

/** The smallest memory of a function that assembles a message of this size; `undefined` if none does. */
export function memoryMbFor(messageBytes: number): number | undefined {
  for (let memoryMb = MEMORY_STEP_MB; memoryMb <= MAX_MEMORY_MB; memoryMb += MEMORY_STEP_MB)
    if (largestMessageBytes(memoryMb) >= messageBytes) return memoryMb;
  return undefined;
}

/** A message is too large to assemble in memory; `hint`: what a person can do. */
export class TooLarge extends Error {
  readonly hint: string;

  constructor(what: string, sizeBytes: number, limitBytes: number) {
    super(`${what}, more than the limit of ${limitBytes}`);
    const memoryMb = memoryMbFor(sizeBytes);
    this.hint =
      memoryMb === undefined
        ? 'No function has the memory for it: archive recover on a machine that has.'
        : `Give the function ${memoryMb} MB of memory (memorySize in serverless.yml; at a shell, --memory) for the next such message, and run archive recover for this one.`;
  }
}

/** What a person can do about an entry that cannot be decoded, where it is known. */
export const hintOf = (error: unknown): string | undefined =>
  error instanceof TooLarge ? error.hint : undefined;

/** @throws Error where the record of this payload could not be read back. */
export function assertFitsRecord(payload: Uint8Array): void {
  if (payload.length * MAX_ESCAPE_BYTES <= MAX_RECORD_BYTES) return;
  const recordBytes = isUtf8(payload) ? escapedBytes(payload) : Math.ceil(payload.length / 3) * 4;
  if (recordBytes > MAX_RECORD_BYTES)
    throw new Error(
      `its record would have ${recordBytes} bytes, more than one line may have (${MAX_RECORD_BYTES})`,
    );
}
