// Encodes many messages at once to the bytes of their records, without a string of each payload. An optimisation
// only: the bytes are those of encodeRecord.
import { isUtf8 } from 'node:buffer';
import { escapeInto, MAX_ESCAPE_BYTES, MAX_INPUT_BYTES, output, SLACK_BYTES } from '../lib/json-text.ts';
import type { Body, Message } from '../ports.ts';
import { encodeRecord, encodeRecordHead } from './record.ts';

const ROOM_BYTES = output.length - SLACK_BYTES;
/** Text is written out at this length: strings over 128 KB are expensive for the garbage collector. */
const FLUSH_LENGTH = 16_384;
/** Larger payloads of one entry are encoded piece by piece, and twice: the first time to get their size. */
const LARGE_BYTES = 5.5 * 1_048_576;
const OPEN = ',"value":"';
const OPEN_BASE64 = ',"valueBase64":"';
const CLOSE = '"}\n';
/** A multiple of three, so that pieces of base64 can be joined. */
const BASE64_PIECE_BYTES = 49_152;

/** Records, one after the other. */
export interface Records {
  /**
   * Views of memory that the next records reuse: copy each before anything is awaited, and before other messages are
   * encoded. May be read again; those of large messages are made as they are read.
   */
  readonly chunks: Iterable<Uint8Array>;
  readonly sizeBytes: number;
}

/** The same records in separate memory, for callers that have to wait before reading them. */
export const keepRecords = (records: Records): Records =>
  Array.isArray(records.chunks)
    ? { chunks: records.chunks.map((chunk) => Buffer.from(chunk)), sizeBytes: records.sizeBytes }
    : records;

/** The records of the messages; of large ones not all at once in memory. */
export function encodeRecords(messages: readonly Message[]): Records {
  const payloadBytes = messages.reduce((sum, { payload }) => sum + (payload?.length ?? 0), 0);
  if (payloadBytes <= LARGE_BYTES) return encodeAtOnce(messages);
  let sizeBytes = 0;
  for (const chunk of encodeInPieces(messages)) sizeBytes += chunk.length;
  return { chunks: { [Symbol.iterator]: () => encodeInPieces(messages) }, sizeBytes };
}

/** Between two pieces, others may use the same memory: each piece is complete. */
function* encodeInPieces(messages: readonly Message[]): Generator<Uint8Array> {
  for (const message of messages) {
    const { payload } = message;
    if (payload === null || payload.length <= MAX_INPUT_BYTES) {
      // A large head has several chunks: before the last one is read, others may have overwritten it.
      const { chunks } = encodeAtOnce([message]);
      yield* chunks.length > 1 ? chunks.map((chunk) => Buffer.from(chunk)) : chunks;
    } else if (isUtf8(payload)) {
      yield Buffer.from(encodeRecordHead(message) + OPEN);
      for (let at = 0; at < payload.length; at += MAX_INPUT_BYTES) {
        const end = escapeInto(payload.subarray(at, at + MAX_INPUT_BYTES), 0);
        yield output.subarray(0, end < 0 ? ~end : end);
      }
      yield Buffer.from(CLOSE);
    } else {
      yield Buffer.from(encodeRecordHead(message) + OPEN_BASE64);
      for (let at = 0; at < payload.length; at += BASE64_PIECE_BYTES)
        yield Buffer.from(base64(payload.subarray(at, at + BASE64_PIECE_BYTES)));
      yield Buffer.from(CLOSE);
    }
  }
}

function encodeAtOnce(messages: readonly Message[]): Body {
  // Full chunks are copied; the last, and mostly only, chunk is a view.
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  let used = 0;
  /** To be written next. */
  let text = '';
  const takeOut = () => {
    if (used === 0) return;
    chunks.push(Buffer.from(output.subarray(0, used)));
    sizeBytes += used;
    used = 0;
  };
  const write = () => {
    // No character takes more than three bytes.
    if (used + text.length * 3 > ROOM_BYTES) takeOut();
    if (text.length * 3 > ROOM_BYTES) {
      const bytes = Buffer.from(text);
      chunks.push(bytes);
      sizeBytes += bytes.length;
    } else used += output.write(text, used);
    text = '';
  };
  const writeBase64 = (payload: Uint8Array) => {
    text += OPEN_BASE64;
    for (let at = 0; at < payload.length; at += BASE64_PIECE_BYTES) {
      text += base64(payload.subarray(at, at + BASE64_PIECE_BYTES));
      write();
    }
    text = CLOSE;
  };
  for (const message of messages) {
    const { payload } = message;
    if (payload === null) {
      text += encodeRecord(message);
      if (text.length > FLUSH_LENGTH) write();
      continue;
    }
    text += encodeRecordHead(message);
    if (payload.length > MAX_INPUT_BYTES && !isUtf8(payload)) {
      writeBase64(payload);
      continue;
    }
    if (text.length > FLUSH_LENGTH) write();
    text += OPEN;
    const first = payload.length > MAX_INPUT_BYTES ? payload.subarray(0, MAX_INPUT_BYTES) : payload;
    // The head and the first escaped bytes are in one chunk, so that the start of a value can be undone.
    if (used + text.length * 3 + first.length * MAX_ESCAPE_BYTES > ROOM_BYTES) takeOut();
    write();
    const start = used;
    const end = escapeInto(first, used);
    used = end < 0 ? ~end : end;
    if (end < 0 && first === payload && !isUtf8(payload)) {
      used = start - OPEN.length;
      writeBase64(payload);
      continue;
    }
    for (let at = MAX_INPUT_BYTES; at < payload.length; at += MAX_INPUT_BYTES) {
      const piece = payload.subarray(at, at + MAX_INPUT_BYTES);
      if (used + piece.length * MAX_ESCAPE_BYTES > ROOM_BYTES) takeOut();
      const pieceEnd = escapeInto(piece, used);
      used = pieceEnd < 0 ? ~pieceEnd : pieceEnd;
    }
    text = CLOSE;
  }
  write();
  if (used > 0) chunks.push(output.subarray(0, used));
  return { chunks, sizeBytes: sizeBytes + used };
}

const base64 = (bytes: Uint8Array) =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
