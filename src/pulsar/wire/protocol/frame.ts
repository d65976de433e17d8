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

/** Cuts a stream into frames. Each is copied once, so that the memory of the chunks can be used again. */
export class FrameSplitter {
  /** The largest frame that is accepted, without its own size. */
  maxFrameBytes: number = FRAME.defaultMaxMessageSizeBytes + FRAME.paddingBytes;
  readonly #onFrame: (frame: Buffer) => void;
  readonly #head = Buffer.alloc(4);
  #headBytes = 0;
  #partial: Buffer | undefined;
  #partialBytes = 0;

  constructor(onFrame: (frame: Buffer) => void) {
    this.#onFrame = onFrame;
  }

  /** Takes the next bytes of the stream. @throws ProtocolError, after which the stream is of no use */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#partial !== undefined) {
        const missing = this.#partial.length - this.#partialBytes;
        const taken = Math.min(missing, chunk.length - at);
        this.#partial.set(chunk.subarray(at, at + taken), this.#partialBytes);
        this.#partialBytes += taken;
        at += taken;
        if (taken < missing) return;
        const frame = this.#partial;
        this.#partial = undefined;
        this.#onFrame(frame);
        continue;
      }
      if (this.#headBytes === 0 && chunk.length - at >= 4) {
        const length = this.#checked(chunk.readUInt32BE(at));
        at += 4;
        if (chunk.length - at >= length) {
          this.#onFrame(Buffer.from(chunk.subarray(at, at + length)));
          at += length;
        } else this.#begin(length);
        continue;
      }
      this.#head[this.#headBytes++] = chunk[at++] as number;
      if (this.#headBytes === 4) {
        this.#headBytes = 0;
        this.#begin(this.#checked(this.#head.readUInt32BE(0)));
      }
    }
  }

  #begin(length: number): void {
    this.#partial = Buffer.allocUnsafeSlow(length);
    this.#partialBytes = 0;
  }

  #checked(length: number): number {
    if (length < 4 || length > this.maxFrameBytes) {
      throw new ProtocolError(`a frame of ${length} bytes (from 4 to ${this.maxFrameBytes} are allowed)`);
    }
    return length;
  }
}
