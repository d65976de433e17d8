// Frames of Pulsar's binary protocol, the broker's side: split what arrives, build what leaves, and the stored form of
// an entry (checksum, metadata, payload). Opens no payload.
import { FRAME, MESSAGES } from '../../pulsar/wire/protocol/tables.ts';
import { crc32c } from './crc32c.ts';
import { decodeMessage, encodeMessage, type FieldsOf } from './protobuf.ts';

/** A command's name: its field in BaseCommand. */
export type CommandName = Exclude<keyof typeof MESSAGES.BaseCommand, 'type'>;

/** The fields of a command. */
export type CommandFields<N extends CommandName> = NonNullable<FieldsOf<'BaseCommand'>[N]>;

/** One command as it came in; `rest` is what follows the command in its frame. */
export interface Command {
  readonly name: CommandName;
  readonly fields: Record<string, unknown>;
  readonly rest: Buffer;
}

const names = new Map<number, CommandName>(
  Object.entries(MESSAGES.BaseCommand).map(([name, [number]]) => [number, name as CommandName]),
);

/** Builds a whole frame: sizes, command, and what follows it. */
export function encodeFrame<N extends CommandName>(
  name: N,
  fields: CommandFields<N>,
  rest: Uint8Array = EMPTY,
): Buffer {
  const command = encodeMessage('BaseCommand', { type: MESSAGES.BaseCommand[name][0], [name]: fields });
  const frame = Buffer.allocUnsafe(8 + command.length + rest.length);
  frame.writeUInt32BE(4 + command.length + rest.length, 0);
  frame.writeUInt32BE(command.length, 4);
  command.copy(frame, 8);
  frame.set(rest, 8 + command.length);
  return frame;
}

const EMPTY = new Uint8Array(0);

/** Reads one frame without its total size. @throws Error where it is no command */
export function decodeFrame(frame: Buffer): Command {
  const size = frame.readUInt32BE(0);
  if (size > frame.length - 4) throw new Error('a command is longer than its frame');
  const command = decodeMessage('BaseCommand', frame.subarray(4, 4 + size));
  const name = names.get(command.type ?? 0);
  if (name === undefined) throw new Error(`command type ${command.type} is not known`);
  return {
    name,
    fields: (command[name] ?? {}) as Record<string, unknown>,
    rest: frame.subarray(4 + size),
  };
}

/** Cuts a stream of bytes into frames. */
export class FrameSplitter {
  readonly #maxFrameBytes: number;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;

  constructor(maxFrameBytes: number) {
    this.#maxFrameBytes = maxFrameBytes;
  }

  /** The frames that `chunk` completes. @throws Error where a frame is too large */
  push(chunk: Buffer): Buffer[] {
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.length;
    if (this.#waitingBytes < 4) return [];
    if ((this.#waiting[0] as Buffer).length < 4) this.#waiting = [Buffer.concat(this.#waiting)];
    if (this.#waitingBytes < 4 + this.#nextSize(this.#waiting[0] as Buffer)) return [];
    let bytes = this.#waiting.length === 1 ? (this.#waiting[0] as Buffer) : Buffer.concat(this.#waiting);
    const frames: Buffer[] = [];
    while (bytes.length >= 4 && bytes.length >= 4 + this.#nextSize(bytes)) {
      const end = 4 + this.#nextSize(bytes);
      frames.push(bytes.subarray(4, end));
      bytes = bytes.subarray(end);
    }
    this.#waiting = bytes.length === 0 ? [] : [bytes];
    this.#waitingBytes = bytes.length;
    return frames;
  }

  #nextSize(bytes: Buffer): number {
    const size = bytes.readUInt32BE(0);
    if (size > this.#maxFrameBytes) throw new Error(`a frame of ${size} bytes is too large`);
    return size;
  }
}

/** The stored form of an entry: magic, CRC-32C, metadata size, metadata, payload. */
export function encodeEntry(metadata: FieldsOf<'MessageMetadata'>, payload: Uint8Array): Buffer {
  const head = encodeMessage('MessageMetadata', metadata);
  const bytes = Buffer.allocUnsafe(10 + head.length + payload.length);
  bytes.writeUInt16BE(FRAME.checksumMagic, 0);
  bytes.writeUInt32BE(head.length, 6);
  head.copy(bytes, 10);
  bytes.set(payload, 10 + head.length);
  bytes.writeUInt32BE(crc32c(bytes.subarray(6)), 2);
  return bytes;
}

/** Whether an entry's checksum is right; one without a checksum is taken as it is. */
export function isChecksumRight(entry: Buffer): boolean {
  if (!hasChecksum(entry)) return true;
  return entry.readUInt32BE(2) === crc32c(entry.subarray(6));
}

/** The metadata of an entry. @throws Error where there is none */
export function decodeMetadata(entry: Buffer): FieldsOf<'MessageMetadata'> {
  const at = hasChecksum(entry) ? 6 : 0;
  const size = entry.readUInt32BE(at);
  if (size > entry.length - at - 4) throw new Error('the metadata is longer than its entry');
  return decodeMessage('MessageMetadata', entry.subarray(at + 4, at + 4 + size));
}

function hasChecksum(entry: Buffer): boolean {
  return entry.length >= 6 && entry.readUInt16BE(0) === FRAME.checksumMagic;
}

/** What a broker may put before an entry: its own time and a running index. */
export function encodeBrokerEntryMetadata(fields: FieldsOf<'BrokerEntryMetadata'>): Buffer {
  const bytes = encodeMessage('BrokerEntryMetadata', fields);
  const head = Buffer.allocUnsafe(6);
  head.writeUInt16BE(FRAME.brokerEntryMetadataMagic, 0);
  head.writeUInt32BE(bytes.length, 2);
  return Buffer.concat([head, bytes]);
}
