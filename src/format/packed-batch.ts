// Converts a plain batch, as most are, directly from the producer's bytes to records, without a JavaScript object per
// message, in WebAssembly. An optimisation only: the bytes are those of encodeRecord, and for other batches it
// returns nothing.
import { isUtf8 } from 'node:buffer';
import { escapeBytes, memory, OUTPUT_AT, output, SCRATCH_AT, SLACK_BYTES } from '../lib/json-text.ts';
import { instantiate } from '../lib/wasm.ts';
import type { PackedBatch } from '../ports.ts';
import { encodeCommon, formatTime, isDate } from './record.ts';
import type { Records } from './record-encoder.ts';

/** packed-batch.wat, assembled. A test assembles it again and compares. */
export const PACKED_BATCH_WASM =
  'AGFzbQEAAAABNAlgA39/fwF/YAJ/fwF/YAF8AX9gAX8BfmABfwF/YAF/AGACfn8Bf2AAAGAGf39/f39/AX8CPAQEanNvbgZtZW1vcnkCABkEanNvbgZlc2NhcGUAAAJqcwZpc1V0ZjgAAQJqcwxmb3JtYXRTZWNvbmQAAgMREAMEBQUEAAABAAYAAQcEBAgGRQ1/AEGAgNAAC38BQQALfwFBAAt/AUEAC38BQQALfwFBAAt/AUEAC34BQgALfgFCAAt/AUEAC38BQQALfwFBAAt+AUJ/CwcUAgdpc1BsYWluAAgGZW5jb2RlABIK7A0QSQEDfgNAIwEgAE8gAkI4VnIEQEEBJAJCAA8LIwExAAAhAyMBQQFqJAEgASADQv8AgyAChoQhASACQgd8IQIgA0KAAVoNAAsgAQsjAQF+IAAQAyEBIAEgACMBa61WBEBBASQCIwEPCyMBIAGnagumAQEDfyMLQSBPBEBBASQCDwsjAEGAAmojC0EEdGohASMLQQFqJAsgAf0MAAAAAAAAAAAAAAAAAAAAAP0LBAACQANAIwIjASAAT3INASMBLQAAIQIjAUEBaiQBIAJBCkcgAkESR3EEQEEBJAIPCyAAEAQhAyACQQpGBEAgASMBNgIAIAEgAyMBazYCBAUgASMBNgIIIAEgAyMBazYCDAsgAyQBDAALCwvpAQMBfwF+AX9BACQDQQAkBkIAJAhBACQJQQAkCkEAJAsCQANAIwIjASAAT3INASMBLQAAIQEjAUEBaiQBIAFBCkYEQCAAEAQhAyADEAUMAQsgAUESRgRAIAAQBCEDQQEkAyMBJAQgAyQFIAMkAQwBCyAAEAMhAiABQRhGBEAgAkL/////B1YEQEEBJAILIAKnJAkMAQsgAUHAAEYEQEEBJAYgAiQHDAELIAFBKEYEQCACJAgMAQsgAUHIAEYEQCACQgBSJAoMAQsgAlAgAUEgRiABQTBGIAFB0ABGcnJxBEAMAQtBASQCCwsLcwECfyMBQQRqIABLBEBBAA8LIwEoAgAhAiMBQQRqJAEgAkEId0H/gfwHcSACQQh4QYD+g3hxciEBIAEgACMBa0sEQEEADwsjASABaiEBIAEQBiMCIwEgAUdyBEBBAA8LIwkgACMBa0sEQEEADwsjASMJags4AQF/QQAkAiAAJAECQANAIAJFDQEgARAHIQMgA0UEQEEADwsgAyQBIAJBAWshAgwACwsjASABRgs2AQF/IAIgAWohAwJAA0AgAiADTw0BIAIgAP0ABAD9CwQAIABBEGohACACQRBqIQIMAAsLIAMLIAEBfyMAQcABaiAAQQN0aiECIAIoAgAgAigCBCABEAkLGQAgAiMAIABBBHRq/QAEAP0LBAAgAiABagtJAgF/AX4jAEG4AWohAgNAIAJBAWshAiAAQgqAIQMgAkIwIAAgA0IKfn18PAAAIAMhACAAQgBSDQALIAIjAEG4AWogAmsgARAJCx0AIAAgASACEAAhAiACQQBIBEBBASQCQQAPCyACC14BA38gACgCBCABKAIEIAAoAgQgASgCBEkbIQMCQANAIAIgA08NASAAKAIAIAJqLQAAIAEoAgAgAmotAABrIQQgBARAIAQPCyACQQFqIQIMAAsLIAAoAgQgASgCBGsLjgECBX8BeyMAQYACaiEAIAAjC0EEdGohASAAQRBqIQICQANAIAIgAU8NASACIQMCQANAIAMgAEYNASADQRBrIAMQDiEEIARFBEBBASQCDwsgBEEASA0BIAP9AAQAIQUgAyADQRBr/QAEAP0LBAAgA0EQayAF/QsEACADQRBrIQMMAAsLIAJBEGohAgwACwsLowEBAn8QDyMAQYACaiEBIAEjC0EEdGohAkEBQQ8gABALIQADQCAAQSI6AAAgASgCACABKAIAIAEoAgRqIABBAWoQDSEAIwIEQEEADwsgAEGi9IgBNgIAIAEoAgggASgCCCABKAIMaiAAQQNqEA0hACMCBEBBAA8LIABBotgAOwEAIABBAmohACABQRBqIQEgASACSQ0ACyAAQQFrQf0AOgAAIAALiwECAX4BfyMIQugHgCEBIwggAULoB359pyECIAEjDFIEQEJ/JAwgAboQAkUEQEEBJAJBAA8LIAEkDAtBBkEOIAAQCyEAIwBBgAFqQRQgABAJIQAgAEEwIAJB5ABuajoAACAAQTAgAkEKbkEKcGo6AAEgAEEwIAJBCnBqOgACIABB2sQAOwEDIABBBWoLwAIBA39BACQCIAAkAQJAA0AgBiACTw0BIwEhCCABEAchByAHRQRAQQAPCyADIAVBBiAHIAhrbGpqIARLBEBBAA8LQQAgAxAKIQMgBq0gAxAMIQNBASADEAohAyMIQgBSBEAgAxARIQMLIwJFBEAjAwRAQQBBCCADEAshAyMEIwUgAxANIQMjAkUEQCADQSI6AAAgA0EBaiEDCwsLIwJFIwtBAEdxBEAgAxAQIQMLIwIEQEEADwtBAiADEAohAyMGBEBBAkEOIAMQCyEDIwcgAxAMIQMFQQMgAxAKIQMLQQQgAxAKIQMjCgRAQQVBDyADEAshAwVBA0EKIAMQCyEDIwEgByADEAAhAyADQQBIBEAgA0F/cyEDIwEgBxABRQRAQQAPCwtBBEEDIAMQCyEDCyAHJAEgBkEBaiEGDAALCyADCw==';

interface Exports {
  isPlain(at: number, end: number, count: number): number;
  encode(at: number, end: number, count: number, out: number, room: number, fixedBytes: number): number;
}

// The layout after SCRATCH_AT: see packed-batch.wat.
const SECOND_AT = 128;
const PAIRS_AT = 192;
const TEXTS_AT = 768;
const INPUT_AT = 16_384;
const MAX_BATCH_BYTES = 262_144;
/** For one message, besides its own bytes and the texts that all messages share. */
const MAX_FIXED_BYTES = 512;
const CONSTANTS = [
  ',"key":"',
  ',"properties":{',
  ',"sequenceId":',
  ',"value":"',
  '"}\n',
  ',"value":null}\n',
  ',"eventTime":"',
];

const scratch = Buffer.from(memory.buffer, SCRATCH_AT);
const words = new Uint32Array(memory.buffer, SCRATCH_AT + PAIRS_AT, 10);
const at = (address: number) => address - SCRATCH_AT;

const { isPlain, encode } = instantiate<Exports>(PACKED_BATCH_WASM, {
  json: { memory, escape: escapeBytes },
  js: {
    isUtf8: (start: number, end: number) => Number(isUtf8(scratch.subarray(at(start), at(end)))),
    formatSecond(second: number) {
      if (!isDate(second * 1_000)) return 0;
      scratch.write(formatTime(second * 1_000).slice(0, 20), SECOND_AT, 'latin1');
      return 1;
    },
  },
});
for (const [index, text] of CONSTANTS.entries()) scratch.write(text, index * 16, 'latin1');

/** The batch in memory since it was checked: mostly it is encoded next. */
let input: Uint8Array | undefined;

function setInput(bytes: Uint8Array): void {
  scratch.set(bytes, INPUT_AT);
  input = bytes;
}

/** Whether the batch consists of exactly so many complete, plain messages. */
export function isPlainBatch(bytes: Uint8Array, count: number): boolean {
  if (bytes.length > MAX_BATCH_BYTES || count < 1) return false;
  setInput(bytes);
  const start = SCRATCH_AT + INPUT_AT;
  return isPlain(start, start + bytes.length, count) === 1;
}

/**
 * The records of a plain batch, identical to those of encodeRecords; `undefined` if the caller has to use
 * encodeRecords.
 */
export function encodePacked({ bytes, count, common }: PackedBatch): Records | undefined {
  const parts = encodeCommon(common);
  let used = TEXTS_AT;
  let index = 0;
  for (const part of parts) {
    if (used + part.length * 3 > INPUT_AT - SLACK_BYTES) return undefined;
    const length = scratch.write(part, used);
    words[index++] = SCRATCH_AT + used;
    words[index++] = length;
    used += length;
  }
  if (input !== bytes) setInput(bytes);
  input = undefined;
  const start = SCRATCH_AT + INPUT_AT;
  const fixedBytes = used - TEXTS_AT + MAX_FIXED_BYTES;
  const end = encode(start, start + bytes.length, count, OUTPUT_AT, SCRATCH_AT - SLACK_BYTES, fixedBytes);
  if (end === 0) return undefined;
  const sizeBytes = end - OUTPUT_AT;
  return { chunks: [output.subarray(0, sizeBytes)], sizeBytes };
}
