// Frames: [total u32][command size u32][BaseCommand], and after a MESSAGE command the entry. It cuts a stream of
// bytes into frames and refuses one that is longer than the broker announced it may be.
import {
  decodeMessage,
  encodeMessage,
  type Fields,
  type MessageName,
  ProtocolError,
  Reader,
} from './codec.ts';
import { type ReceiveBlock, ReceiveMemory } from './receive-memory.ts';
import { type FieldTable, FRAME, MESSAGES } from './tables.ts';

type BaseCommand = typeof MESSAGES.BaseCommand;
/** The name of a command: that of its field in BaseCommand. */
export type CommandName = Exclude<keyof BaseCommand, 'type'>;
type MessageOf<C extends CommandName> = BaseCommand[C][1] & MessageName;
/** The fields of a command, by its name. */
export type CommandFields<C extends CommandName> = Fields<MessageOf<C>>;

const COMMANDS = new Map<number, { readonly name: CommandName; readonly message: MessageName }>();
for (const [name, [number, message]] of Object.entries<FieldTable>(MESSAGES.BaseCommand)) {
  if (name !== 'type') {
    COMMANDS.set(number, { name: name as CommandName, message: message as MessageName });
  }
}

/** A command as it goes over the wire. */
export function encodeCommand<C extends CommandName>(name: C, fields: CommandFields<C>): Buffer {
  const [number, message] = MESSAGES.BaseCommand[name] as readonly [number, MessageName];
  const body = encodeMessage(message, fields as Fields<MessageName>);
  const command = encodeMessage('BaseCommand', { type: number });
  const head: number[] = [...command];
  let tag = (number << 3) | 2;
  for (; tag >= 0x80; tag >>>= 7) head.push((tag & 0x7f) | 0x80);
  head.push(tag);
  let length = body.length;
  for (; length >= 0x80; length >>>= 7) head.push((length & 0x7f) | 0x80);
  head.push(length);
  const frame = Buffer.allocUnsafe(8 + head.length + body.length);
  frame.writeUInt32BE(4 + head.length + body.length, 0);
  frame.writeUInt32BE(head.length + body.length, 4);
  frame.set(head, 8);
  frame.set(body, 8 + head.length);
  return frame;
}

/** A command received: its name, its fields, and where in the frame what follows it begins. */
export interface Command {
  readonly name: CommandName;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly end: number;
}

/**
 * Decodes the command of a frame (without its total size). `undefined`: a command of another protocol version.
 * @throws ProtocolError
 */
export function decodeCommand(frame: Buffer): Command | undefined {
  if (frame.length < 4) throw new ProtocolError('a frame has no command');
  const size = frame.readUInt32BE(0);
  const end = 4 + size;
  if (end > frame.length) throw new ProtocolError('a command is longer than its frame');
  const reader = new Reader(frame, 4, end);
  let type = -1;
  let bodyNumber = -1;
  let bodyStart = 0;
  let bodyEnd = 0;
  while (reader.at < end) {
    const tag = reader.uint32();
    if (tag === 0x08) type = reader.uint32();
    else if ((tag & 7) === 2) {
      bodyEnd = reader.lengthEnd();
      if (tag >>> 3 === type || bodyNumber < 0) {
        bodyNumber = tag >>> 3;
        bodyStart = reader.at;
        reader.at = bodyEnd;
      } else reader.at = bodyEnd;
    } else reader.skip(tag & 7);
  }
  if (type < 0) throw new ProtocolError('a command has no type');
  const command = COMMANDS.get(type);
  if (command === undefined) return undefined;
  if (bodyNumber !== type) {
    if (MESSAGE_WITHOUT_FIELDS.has(command.message)) return { name: command.name, fields: {}, end };
    throw new ProtocolError(`a ${command.name} command has no body`);
  }
  return { name: command.name, fields: decodeMessage(command.message, frame, bodyStart, bodyEnd), end };
}

const MESSAGE_WITHOUT_FIELDS: ReadonlySet<MessageName> = new Set(['CommandPing', 'CommandPong']);

/** So much is read at once at least, where a block has room for it. */
const MIN_READ_BYTES = 64 * 1024;
const NO_ROOM = Buffer.alloc(0);

/**
 * Cuts a stream into frames, where it was received into memory: either `room` and `filled`, or `push`. A frame is valid until
 * `onFrame` returns, unless that holds its block; without a block it is memory of its own.
 */
export class FrameSplitter {
  /** The largest frame that is accepted, without its own size. */
  maxFrameBytes: number = FRAME.defaultMaxMessageSizeBytes + FRAME.paddingBytes;
  readonly #onFrame: (frame: Buffer, block?: ReceiveBlock) => void;
  readonly #memory: ReceiveMemory;
  #block: ReceiveBlock | undefined;
  /** In the block: the next frame, with its size, begins here. */
  #start = 0;
  /** The stream has been received up to here. */
  #end = 0;
  /** A frame that is too large for a block. */
  #large: Buffer | undefined;
  #largeBytes = 0;
  #isClosed = false;

  constructor(onFrame: (frame: Buffer, block?: ReceiveBlock) => void, memory = new ReceiveMemory(0)) {
    this.#onFrame = onFrame;
    this.#memory = memory;
  }

  /** Whether a frame has begun to come, and its end has not. */
  get isInsideFrame(): boolean {
    return this.#large !== undefined || this.#end > this.#start;
  }

  /** Takes the next bytes of the stream, and copies them. @throws ProtocolError, after which the stream is of no use */
  push(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; ) {
      const room = this.room();
      const end = Math.min(chunk.length, at + room.length);
      room.set(chunk.subarray(at, end));
      this.filled(end - at);
      at = end;
    }
  }

  /** Where the next bytes of the stream are to be written; then call `filled`. */
  room(): Buffer {
    if (this.#isClosed) return NO_ROOM;
    if (this.#large !== undefined) return this.#large.subarray(this.#largeBytes);
    if (this.#block === undefined || this.#memory.blockBytes - this.#end < this.#wantedBytes()) this.#roll();
    return (this.#block as ReceiveBlock).bytes.subarray(this.#end);
  }

  /** So many bytes were written. @throws ProtocolError, after which the stream is of no use */
  filled(bytes: number): void {
    if (this.#large !== undefined) {
      this.#largeBytes += bytes;
      if (this.#largeBytes < this.#large.length) return;
      const frame = this.#large;
      this.#large = undefined;
      this.#onFrame(frame);
      return;
    }
    this.#end += bytes;
    this.#cut(this.#block as ReceiveBlock);
  }

  /** Gives back what it has of the memory: the stream is over. */
  close(): void {
    this.#isClosed = true;
    this.#block?.release();
    this.#block = undefined;
  }

  #cut(block: ReceiveBlock): void {
    const { bytes } = block;
    while (this.#end - this.#start >= 4) {
      const length = this.#checked(bytes.readUInt32BE(this.#start));
      const frameStart = this.#start + 4;
      const frameEnd = frameStart + length;
      if (frameEnd > this.#end) {
        if (length > this.#memory.blockBytes - MIN_READ_BYTES) this.#beginLarge(bytes, frameStart, length);
        return;
      }
      this.#start = frameEnd;
      const frame = bytes.subarray(frameStart, frameEnd);
      if (this.#memory.isShort) this.#onFrame(Buffer.from(frame));
      else this.#onFrame(frame, block);
      // It may have closed this.
      if (this.#block !== block) return;
    }
  }

  #beginLarge(bytes: Buffer, start: number, length: number): void {
    this.#large = Buffer.allocUnsafeSlow(length);
    this.#largeBytes = bytes.copy(this.#large, 0, start, this.#end);
    this.#end = this.#start;
  }

  /** The rest of the frame that has begun, if its size is known. */
  #wantedBytes(): number {
    if (this.#end - this.#start < 4) return MIN_READ_BYTES;
    const length = (this.#block as ReceiveBlock).bytes.readUInt32BE(this.#start);
    return length + 4 - (this.#end - this.#start);
  }

  /** Goes on in another block, with what there is of the next frame. */
  #roll(): void {
    const before = this.#block;
    const next = this.#memory.take();
    if (before !== undefined) {
      before.bytes.copy(next.bytes, 0, this.#start, this.#end);
      before.release();
    }
    this.#end -= this.#start;
    this.#start = 0;
    this.#block = next;
  }

  #checked(length: number): number {
    if (length < 4 || length > this.maxFrameBytes) {
      throw new ProtocolError(`a frame of ${length} bytes (from 4 to ${this.maxFrameBytes} are allowed)`);
    }
    return length;
  }
}
