// Bytes of UTF-8 as the inside of a JSON string, exactly as JSON.stringify would write it, without a JavaScript
// string between: WebAssembly, sixteen bytes a step. Does not validate UTF-8; it reports when that is necessary.
import { instantiate, type WithMemory } from './wasm.ts';

/** json-text.wat, assembled. A test assembles it again and compares. */
export const JSON_TEXT_WASM =
  'AGFzbQEAAAABCAFgA39/fwF/AwIBAAUDAQAZBxMCBm1lbW9yeQIABmVzY2FwZQAACswBAckBAwF/AXsDfyABQRBrIQMCQANAAkAgACADSg0AIAD9AAQAIQQgAiAE/QsEACAGIAT9ZHIhBiAEQSD9D/0mIARBIv0P/SMgBEHcAP0P/SP9UP1Q/WQhBSAFRQRAIABBEGohACACQRBqIQIMAgsgACAFaGohACACIAVoaiECCyAAIAFODQEgAC0AACEHIAYgB0GAAXFyIQYgB0EDdCEHIAIgBykDADcDACACIActAAdqIQIgAEEBaiEADAALCyAGBH8gAkF/cwUgAgsL';

const TABLE_BYTES = 256 * 8;

/** The most bytes that one call of escapeInto takes. */
export const MAX_INPUT_BYTES = 65_536;

/** A byte becomes at most this many. */
export const MAX_ESCAPE_BYTES = 6;

/** How far behind its end a call of escapeInto may write. */
export const SLACK_BYTES = 16;

interface Exports extends WithMemory {
  escape(at: number, end: number, out: number): number;
}

const { memory, escape: escapeBytes } = instantiate<Exports>(JSON_TEXT_WASM);

export { escapeBytes, memory };

const table = new Uint8Array(memory.buffer, 0, TABLE_BYTES);
const input = new Uint8Array(memory.buffer, TABLE_BYTES, MAX_INPUT_BYTES);
/** Where `output` is in the memory. */
export const OUTPUT_AT = TABLE_BYTES + MAX_INPUT_BYTES;
/** The memory from here on belongs to format/packed-batch.ts. */
export const SCRATCH_AT = 20 * 65_536;

/** The shared memory for assembling text, so copy the result before anything is awaited. */
export const output = Buffer.from(memory.buffer, OUTPUT_AT, SCRATCH_AT - OUTPUT_AT);

for (let byte = 0; byte < 256; byte++) {
  const text = byte < 0x80 ? Buffer.from(JSON.stringify(String.fromCharCode(byte)).slice(1, -1)) : [byte];
  table.set(text, byte * 8);
  table[byte * 8 + 7] = text.length;
}

/** Writes the escaped bytes to `output` at `at`. Gives their end there, as `~end` if some are not ASCII. */
export function escapeInto(bytes: Uint8Array, at: number): number {
  input.set(bytes);
  const end = escapeBytes(TABLE_BYTES, TABLE_BYTES + bytes.length, OUTPUT_AT + at);
  return end < 0 ? ~(~end - OUTPUT_AT) : end - OUTPUT_AT;
}

/** How many bytes UTF-8 has when it is escaped. */
export function escapedBytes(bytes: Uint8Array): number {
  let sizeBytes = 0;
  for (let at = 0; at < bytes.length; at += MAX_INPUT_BYTES) {
    const end = escapeInto(bytes.subarray(at, at + MAX_INPUT_BYTES), 0);
    sizeBytes += end < 0 ? ~end : end;
  }
  return sizeBytes;
}
