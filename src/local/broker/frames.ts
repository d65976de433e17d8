// What the broker adds to the driver's framing: what follows a command in its frame, and the stored form of an entry
// (checksum, metadata, payload). Opens no payload. That the codec is right is shown by frames of a real broker.
import { decodeMessage, encodeMessage, type Fields } from '../../pulsar/wire/protocol/codec.ts';
import { crc32c } from '../../pulsar/wire/protocol/crc32c.ts';
import {
  type CommandFields,
  type CommandName,
  decodeCommand,
  encodeCommand,
} from '../../pulsar/wire/protocol/frame.ts';
import { FRAME } from '../../pulsar/wire/protocol/tables.ts';

/** One command as it came in; `rest` is what follows the command in its frame. */
export interface Command {
  readonly name: CommandName;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly rest: Buffer;
}

/** Builds a whole frame: sizes, command, and what follows it. */
export function encodeFrame<N extends CommandName>(
  name: N,
  fields: CommandFields<N>,
  rest?: Uint8Array,
): Buffer {
  const command = encodeCommand(name, fields);
  if (rest === undefined) return command;
  command.writeUInt32BE(command.length - 4 + rest.length, 0);
  return Buffer.concat([command, rest]);
}

/** Reads one frame without its total size. @throws ProtocolError where it is no command of the tables */
export function decodeFrame(frame: Buffer): Command {
  const command = decodeCommand(frame);
  if (command === undefined) throw new Error('the type of the command is not known');
  return { name: command.name, fields: command.fields, rest: frame.subarray(command.end) };
}

/** The stored form of an entry: magic, CRC-32C, metadata size, metadata, payload. */
export function encodeEntry(metadata: Fields<'MessageMetadata'>, payload: Uint8Array): Buffer {
  const head = encodeMessage('MessageMetadata', metadata);
  const bytes = Buffer.allocUnsafe(10 + head.length + payload.length);
  bytes.writeUInt16BE(FRAME.checksumMagic, 0);
  bytes.writeUInt32BE(head.length, 6);
  head.copy(bytes, 10);
  bytes.set(payload, 10 + head.length);
  bytes.writeUInt32BE(crc32c(bytes, 6), 2);
  return bytes;
}

/** Whether an entry's checksum is right; one without a checksum is taken as it is. */
export function isChecksumRight(entry: Buffer): boolean {
  if (!hasChecksum(entry)) return true;
  return entry.readUInt32BE(2) === crc32c(entry, 6);
}

/** The metadata of an entry. @throws Error where there is none */
export function decodeMetadata(entry: Buffer): Fields<'MessageMetadata'> {
  const at = hasChecksum(entry) ? 6 : 0;
  const size = entry.readUInt32BE(at);
  if (size > entry.length - at - 4) throw new Error('the metadata is longer than its entry');
  return decodeMessage('MessageMetadata', entry.subarray(at + 4, at + 4 + size));
}

function hasChecksum(entry: Buffer): boolean {
  return entry.length >= 6 && entry.readUInt16BE(0) === FRAME.checksumMagic;
}

/** What a broker may put before an entry: its own time and a running index. */
export function encodeBrokerEntryMetadata(fields: Fields<'BrokerEntryMetadata'>): Buffer {
  const bytes = encodeMessage('BrokerEntryMetadata', fields);
  const head = Buffer.allocUnsafe(6);
  head.writeUInt16BE(FRAME.brokerEntryMetadataMagic, 0);
  head.writeUInt32BE(bytes.length, 2);
  return Buffer.concat([head, bytes]);
}
