// One accepted socket: frames in, frames out, in order, through the hooks and the faults that a test has set.
// Knows no topics. A broken frame ends the connection.
import type { Socket } from 'node:net';
import { type CommandFields, type CommandName, FrameSplitter } from '../../pulsar/wire/protocol/frame.ts';
import type { Faults } from './faults.ts';
import { type Command, decodeFrame, encodeFrame } from './frames.ts';

/** A refusal: the command is not acted upon and answered with this error (a number of SERVER_ERROR). */
export interface ErrorOutcome {
  readonly error: number;
  readonly message?: string;
}

/**
 * What a hook decides about a command: let it pass, lose it, end the connection, send half of it and end, or (only for
 * commands that come in) refuse it.
 */
export type Outcome = 'drop' | 'close' | 'half' | ErrorOutcome | undefined;

/**
 * Sees every command before it is acted upon (or before it is sent). A promise delays it and what comes after it on
 * that connection. Fields are read-only by agreement; their names are those of the protocol tables.
 */
export type CommandHook = (
  name: CommandName,
  // biome-ignore lint/suspicious/noExplicitAny: a hook knows which command it asked for
  fields: Readonly<Record<string, any>>,
  connectionId: number,
) => Outcome | Promise<Outcome> | undefined;

export interface ConnectionOptions {
  readonly id: number;
  readonly maxFrameBytes: number;
  readonly keepAliveMs: number;
  readonly faults: Faults;
  readonly incoming: ReadonlySet<CommandHook>;
  readonly outgoing: ReadonlySet<CommandHook>;
}

export interface ConnectionEvents {
  command(command: Command): void;
  refused(command: Command, outcome: ErrorOutcome): void;
  writable(): void;
  closed(): void;
}

/** Bytes waiting in a socket at which consumers get no more entries. */
const FULL_SOCKET_BYTES = 4 * 1024 * 1024;

/** A client's connection. */
export class Connection {
  readonly id: number;
  readonly address: string;
  readonly #socket: Socket;
  readonly #options: ConnectionOptions;
  readonly #events: ConnectionEvents;
  readonly #splitter: FrameSplitter;
  readonly #in = new Lane();
  readonly #out = new Lane();
  readonly #keepAlive: NodeJS.Timeout;
  #isCorked = false;
  #isAwaitingPong = false;
  readonly #signsOfLife: (() => void)[] = [];
  #dribbling: Promise<void> | undefined;

  constructor(socket: Socket, options: ConnectionOptions, events: ConnectionEvents) {
    this.#socket = socket;
    this.id = options.id;
    this.address = `/${socket.remoteAddress}:${socket.remotePort}`;
    this.#options = options;
    this.#events = events;
    this.#splitter = new FrameSplitter((frame) => this.#receive(decodeFrame(frame)));
    this.#splitter.maxFrameBytes = options.maxFrameBytes;
    this.#keepAlive = setInterval(() => this.#checkAlive(), options.keepAliveMs).unref();
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.#read(chunk));
    socket.on('drain', () => events.writable());
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      clearInterval(this.#keepAlive);
      for (const resolve of this.#signsOfLife.splice(0)) resolve();
      events.closed();
    });
  }

  get isWritable(): boolean {
    return this.#socket.writable && this.#socket.writableLength < FULL_SOCKET_BYTES;
  }

  /** Sends a command, and what follows it in its frame. */
  send<N extends CommandName>(name: N, fields: CommandFields<N>, rest?: Uint8Array): void {
    this.#out.run(() => {
      if (this.#options.faults.isSilent) return undefined;
      return decide(this.#options.outgoing, name, fields as object, this.id, (outcome) => {
        if (outcome === 'close') this.destroy();
        if (outcome === 'close' || outcome === 'drop') return;
        const frame = encodeFrame(name, fields, rest);
        this.sendRaw(outcome === 'half' ? frame.subarray(0, Math.ceil(frame.length / 2)) : frame);
        if (outcome === 'half') this.#socket.destroySoon();
      });
    });
  }

  /** Writes bytes that need be no frame. */
  sendRaw(bytes: Uint8Array): void {
    if (this.#socket.destroyed || this.#socket.writableEnded) return;
    const { slow } = this.#options.faults;
    if (slow !== undefined || this.#dribbling !== undefined) {
      this.#dribble(bytes, slow ?? { bytes: bytes.length, everyMs: 0 });
      return;
    }
    if (!this.#isCorked) {
      this.#isCorked = true;
      this.#socket.cork();
      process.nextTick(() => {
        this.#isCorked = false;
        this.#socket.uncork();
      });
    }
    this.#socket.write(bytes);
  }

  /** Ends the connection after what was sent. */
  end(): void {
    this.#out.run(() => this.#socket.destroySoon());
  }

  /** Ends the connection at once; with a reset where asked. */
  destroy(how: 'close' | 'reset' = 'close'): void {
    if (how === 'reset') this.#socket.resetAndDestroy();
    else this.#socket.destroy();
  }

  /** Sends PING; false if nothing came back in time, and then the connection is ended. */
  async checkAlive(timeoutMs: number): Promise<boolean> {
    const isAlive = await new Promise<boolean>((resolve) => {
      const timeout = setTimeout(() => resolve(false), timeoutMs);
      this.#signsOfLife.push(() => {
        clearTimeout(timeout);
        resolve(!this.#socket.destroyed);
      });
      this.send('ping', {});
    });
    if (!isAlive) this.destroy();
    return isAlive;
  }

  #read(chunk: Buffer): void {
    this.#isAwaitingPong = false;
    for (const resolve of this.#signsOfLife.splice(0)) resolve();
    if (this.#options.faults.isSilent) return;
    try {
      this.#splitter.push(chunk);
    } catch {
      this.destroy();
    }
  }

  #receive(command: Command): void {
    this.#in.run(() => {
      const waiting = decide(this.#options.incoming, command.name, command.fields, this.id, (outcome) => {
        if (outcome === 'close' || outcome === 'half') this.destroy();
        if (this.#socket.destroyed) return;
        if (typeof outcome === 'object') this.#events.refused(command, outcome);
        else if (outcome === undefined) this.#events.command(command);
      });
      return waiting?.catch(() => this.destroy());
    });
  }

  #checkAlive(): void {
    if (this.#isAwaitingPong) this.destroy();
    else this.send('ping', {});
    this.#isAwaitingPong = true;
  }

  #dribble(bytes: Uint8Array, pace: { bytes: number; everyMs: number }): void {
    const before = this.#dribbling ?? Promise.resolve();
    const mine = before.then(async () => {
      for (let at = 0; at < bytes.length && !this.#socket.destroyed; at += pace.bytes) {
        this.#socket.write(bytes.subarray(at, at + pace.bytes));
        if (pace.everyMs > 0) await new Promise((resolve) => setTimeout(resolve, pace.everyMs));
      }
      if (this.#dribbling === mine) this.#dribbling = undefined;
    });
    this.#dribbling = mine;
  }
}

/** Runs steps one after another; at once while none of them waits. */
class Lane {
  readonly #waiting: (() => void | Promise<void>)[] = [];
  #isBusy = false;

  run(step: () => void | Promise<void>): void {
    this.#waiting.push(step);
    if (!this.#isBusy) this.#next();
  }

  #next(): void {
    this.#isBusy = true;
    for (let step = this.#waiting.shift(); step !== undefined; step = this.#waiting.shift()) {
      const waiting = step();
      if (waiting !== undefined) {
        void waiting.finally(() => this.#next());
        return;
      }
    }
    this.#isBusy = false;
  }
}

/** Asks the hooks in turn until one decides. */
function decide(
  hooks: ReadonlySet<CommandHook>,
  name: CommandName,
  fields: object,
  connectionId: number,
  act: (outcome: Outcome) => void,
): void | Promise<void> {
  const waiting: Promise<Outcome>[] = [];
  for (const hook of hooks) {
    const outcome = hook(name, fields, connectionId);
    if (outcome instanceof Promise) waiting.push(outcome);
    else if (outcome !== undefined && waiting.length === 0) return act(outcome);
  }
  if (waiting.length === 0) return act(undefined);
  return Promise.all(waiting).then((outcomes) => act(outcomes.find((outcome) => outcome !== undefined)));
}
