// A bare client on a socket, for tests of the loopback broker: sends frames, keeps what comes back, understands nothing.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type Command, decodeFrame, encodeFrame } from '../../../src/local/broker/frames.ts';
import {
  type CommandFields,
  type CommandName,
  FrameSplitter,
} from '../../../src/pulsar/wire/protocol/frame.ts';
import { ACK_TYPE, INITIAL_POSITION, SUBSCRIPTION_TYPE } from '../../../src/pulsar/wire/protocol/tables.ts';

/** -1 where the protocol has an unsigned number of 64 bits. */
export const MINUS_ONE = 2n ** 64n - 1n;

export interface RawClientOptions {
  readonly protocolVersion?: number;
  readonly token?: string;
  readonly proxyTo?: string;
}

export interface SubscribeOptions {
  readonly consumerId?: number;
  readonly type?: keyof typeof SUBSCRIPTION_TYPE;
  readonly name?: string;
  readonly forceTopicCreation?: boolean;
}

/** A command with the frame that brought it, without its total size. */
export interface ReceivedCommand extends Command {
  readonly frame: Buffer;
}

/** One connection to the broker. Waits for nothing longer than the test's own time-out. */
export class RawClient {
  readonly received: ReceivedCommand[] = [];
  isClosed = false;
  answersPing = true;
  readonly #socket: Socket;
  #wake = () => {};

  private constructor(socket: Socket) {
    this.#socket = socket;
    const splitter = new FrameSplitter((frame) => {
      const command = { ...decodeFrame(frame), frame };
      if (command.name === 'ping' && this.answersPing) this.send('pong', {});
      else this.received.push(command);
    });
    splitter.maxFrameBytes = 10_000_000;
    socket.on('data', (chunk) => {
      splitter.push(chunk);
      this.#wake();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.isClosed = true;
      this.#wake();
    });
  }

  /** Connects; says CONNECT and waits for the answer, but for 'no greeting'. */
  static async open(
    broker: { readonly serviceUrl: string },
    options: RawClientOptions | 'no greeting' = {},
  ): Promise<RawClient> {
    const socket = connect(Number(new URL(broker.serviceUrl).port), '127.0.0.1');
    await once(socket, 'connect');
    const client = new RawClient(socket);
    if (options === 'no greeting') return client;
    client.send('connect', {
      featureFlags: { supportsAuthRefresh: true },
      clientVersion: 'raw',
      protocolVersion: options.protocolVersion ?? 21,
      authMethodName: options.token === undefined ? undefined : 'token',
      authData: options.token === undefined ? undefined : Buffer.from(options.token),
      proxyToBrokerUrl: options.proxyTo,
    });
    await client.until(() => client.received.length > 0 || client.isClosed);
    return client;
  }

  send<N extends CommandName>(name: N, fields: CommandFields<N>, rest?: Uint8Array): void {
    this.#socket.write(encodeFrame(name, fields, rest));
  }

  sendRaw(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** Takes the first command of that name out of what was received, waiting for it. */
  async take<N extends CommandName>(name: N): Promise<CommandFields<N> & { rest: Buffer; frame: Buffer }> {
    await this.until(() => this.received.some((command) => command.name === name) || this.isClosed);
    const at = this.received.findIndex((command) => command.name === name);
    if (at < 0) throw new Error(`the connection ended before ${name} came`);
    const [{ fields, rest, frame }] = this.received.splice(at, 1) as [ReceivedCommand];
    return { ...(fields as CommandFields<N>), rest, frame };
  }

  /** Whatever came of that name so far, after a PING has come back. */
  async drain(name: CommandName): Promise<Record<string, unknown>[]> {
    this.send('ping', {});
    await this.take('pong');
    const found = this.received.filter((command) => command.name === name).map(({ fields }) => fields);
    for (let at = this.received.length - 1; at >= 0; at--) {
      if (this.received[at]?.name === name) this.received.splice(at, 1);
    }
    return found;
  }

  /** Subscribes as consumer `consumerId` (0) and waits for the answer. */
  async subscribe(topic: string, subscription: string, options: SubscribeOptions = {}): Promise<void> {
    this.sendSubscribe(topic, subscription, options);
    await this.take('success');
  }

  sendSubscribe(topic: string, subscription: string, options: SubscribeOptions = {}): void {
    this.send('subscribe', {
      topic: `persistent://${topic}`,
      subscription,
      subType: SUBSCRIPTION_TYPE[options.type ?? 'Exclusive'],
      consumerId: options.consumerId ?? 0,
      requestId: 1,
      consumerName: options.name,
      initialPosition: INITIAL_POSITION.Earliest,
      forceTopicCreation: options.forceTopicCreation,
    });
  }

  flow(messagePermits: number, consumerId = 0): void {
    this.send('flow', { consumerId, messagePermits });
  }

  ack(
    entries: { ledgerId: number; entryId: number }[],
    kind: keyof typeof ACK_TYPE,
    requestId?: number,
  ): void {
    const messageId = entries.map(({ ledgerId, entryId }) => ({ ledgerId, entryId }));
    this.send('ack', { consumerId: 0, ackType: ACK_TYPE[kind], messageId, requestId });
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  close(): void {
    this.#socket.destroy();
  }
}
