// One connection to a broker, shared by all its consumers and producers: sends requests, and reports responses,
// messages and finally its loss to them. Decides nothing about them.
import type { Socket } from 'node:net';
import { BackupError } from '../../errors.ts';
import { OUTAGE_HINT } from '../../lib/outage.ts';
import type { Clock } from '../../ports.ts';
import type { RunsFrom } from '../../read-settings.ts';
import type { Identity } from './authentication.ts';
import { openSocket } from './broker-socket.ts';
import {
  authResponseFields,
  type BrokerFeatures,
  connectFields,
  featuresOf,
  refusalOf,
  UNKNOWN_BROKER,
} from './handshake.ts';
import { KeepAlive } from './keep-alive.ts';
import { PendingRequests } from './pending-requests.ts';
import { type Integer, ProtocolError } from './protocol/codec.ts';
import {
  type Command,
  type CommandFields,
  type CommandName,
  decodeCommand,
  encodeCommand,
  FrameSplitter,
} from './protocol/frame.ts';
import type { ReceiveBlock, ReceiveMemory } from './protocol/receive-memory.ts';
import { FRAME } from './protocol/tables.ts';
import { type ConsumerEvents, type ProducerEvents, Receivers } from './receivers.ts';
import { type Address, brokerUrl } from './service-url.ts';
import {
  afterHandshakeHint,
  networkHint,
  otherProtocolHint,
  SCHEME_HINT,
  socketError,
} from './socket-error.ts';
import { startTimer, type Timings } from './timer.ts';

/** As whom to connect, and how long each step may take. */
export interface ConnectionOptions extends Identity {
  readonly clock: Clock;
  readonly timings: Timings;
  readonly runsFrom: RunsFrom | undefined;
  /** What connections receive into; without it, each copies what it receives. */
  readonly memory?: ReceiveMemory;
}

/** Requests that the broker answers by request id. */
type RequestName =
  | 'subscribe'
  | 'closeConsumer'
  | 'producer'
  | 'closeProducer'
  | 'ack'
  | 'lookupTopic'
  | 'partitionMetadata'
  | 'getLastMessageId'
  | 'consumerStats'
  | 'getSchema'
  | 'getOrCreateSchema'
  | 'getTopicsOfNamespace'
  | 'addSubscriptionToTxn';

/** A connection, from its first byte to its last. Once lost it stays lost. */
export class Connection {
  /** The address, for messages to people. */
  readonly name: string;
  readonly address: Address;
  /** See the constructor. */
  readonly proxyTo: string | undefined;
  readonly #options: ConnectionOptions;
  #socket: Socket | undefined;
  readonly #splitter: FrameSplitter;
  readonly #requests: PendingRequests;
  readonly #keepAlive: KeepAlive;
  readonly #receivers: Receivers;
  /** What ended it. */
  #lost: BackupError | undefined;
  /** While the broker is to answer CONNECT. */
  #handshake: { resolve: () => void; reject: (error: BackupError) => void } | undefined;
  #broker: BrokerFeatures = UNKNOWN_BROKER;
  #isPaused = false;

  /** `proxyTo`: the broker (`host:port`) that a Pulsar proxy at `address` is to connect to. */
  constructor(address: Address, proxyTo: string | undefined, options: ConnectionOptions) {
    this.name = brokerUrl(address) + (proxyTo === undefined ? '' : ` (proxy to ${proxyTo})`);
    this.address = address;
    this.proxyTo = proxyTo;
    this.#options = options;
    this.#splitter = new FrameSplitter((frame, block) => this.#onFrame(frame, block), options.memory);
    this.#requests = new PendingRequests(options.clock);
    this.#receivers = new Receivers(this.name);
    this.#keepAlive = new KeepAlive({
      clock: options.clock,
      intervalMs: options.timings.pingIntervalMs,
      ping: () => this.send('ping', {}),
      onSilence: () =>
        this.#lose(
          new BackupError('source', `${this.name} has stopped answering (no PONG)`, { retryable: true }),
        ),
    });
  }

  /** Whether there is a Pulsar broker at the other end. */
  get #hasMet(): boolean {
    return this.#broker.protocolVersion !== 0;
  }

  get isLost(): boolean {
    return this.#lost !== undefined;
  }

  /** What the broker said about itself, once it is open. */
  get broker(): BrokerFeatures {
    return this.#broker;
  }

  /** Connects and introduces itself. Call once. @throws BackupError `source` within the connect time-out */
  async open(): Promise<void> {
    const { clock, timings } = this.#options;
    const cancelTimer = startTimer(clock, timings.connectTimeoutMs, () =>
      this.#lose(
        new BackupError('source', `${this.name} did not answer within ${timings.connectTimeoutMs} ms`, {
          retryable: true,
          hint: `${networkHint(this.#options.runsFrom)} ${SCHEME_HINT}`,
        }),
      ),
    );
    try {
      await new Promise<void>((resolve, reject) => {
        this.#handshake = { resolve, reject };
        if (this.#lost !== undefined) reject(this.#lost);
        else this.#connect();
      });
    } finally {
      cancelTimer();
      this.#handshake = undefined;
    }
    if (this.#lost === undefined) this.#keepAlive.start();
  }

  #connect(): void {
    const { tls, runsFrom } = this.#options;
    const attempt = { isTls: this.address.tls, tls, runsFrom };
    this.#socket = openSocket(this.address, tls, {
      onOpen: () => this.send('connect', connectFields(this.#options, this.address.tls, this.proxyTo)),
      room: () => this.#splitter.room(),
      onFilled: (chunk) => this.#onData(chunk, () => this.#splitter.filled(chunk.length)),
      onData: (chunk) => this.#onData(chunk, () => this.#splitter.push(chunk)),
      onError: (error) => this.#lose(socketError(this.name, error, attempt)),
      onClose: () =>
        this.#lose(
          new BackupError('source', `${this.name} closed the connection`, {
            retryable: true,
            hint: !this.#hasMet
              ? `${this.address.tls ? `${afterHandshakeHint(tls)} ` : ''}${SCHEME_HINT}`
              : OUTAGE_HINT,
          }),
        ),
    });
  }

  /** Sends a command without a response. Does nothing on a lost connection. */
  send<C extends CommandName>(name: C, fields: CommandFields<C>): void {
    if (this.#lost === undefined) this.#socket?.write(encodeCommand(name, fields));
  }

  /** Sends an entry. The producer gets its receipt. Does nothing on a lost connection. */
  sendEntry(fields: CommandFields<'send'>, entry: Buffer): void {
    if (this.#lost !== undefined || this.#socket === undefined) return;
    const head = encodeCommand('send', fields);
    head.writeUInt32BE(head.length - 4 + entry.length, 0);
    this.#socket.cork();
    this.#socket.write(head);
    this.#socket.write(entry);
    this.#socket.uncork();
  }

  /**
   * Sends a request and waits for its answer. `what` says what is being done, for errors.
   * @throws BackupError `source`: refused, no answer in time, or connection lost
   */
  request<C extends RequestName>(
    name: C,
    fields: Omit<CommandFields<C>, 'requestId'>,
    what: string,
    timeoutMs: number = this.#options.timings.operationTimeoutMs,
  ): Promise<Command> {
    if (this.#lost !== undefined) return Promise.reject(this.#lost);
    const { consumerId } = fields as { consumerId?: Integer };
    return this.#requests.ask({ what, of: this.name, consumerId, timeoutMs }, (requestId) =>
      this.send(name, { ...fields, requestId } as unknown as CommandFields<C>),
    );
  }

  /** How many entries it brought, for whichever consumer. */
  get entries(): number {
    return this.#receivers.entries;
  }

  /** Whether more is about to be read from it: an entry is coming, or was stopped. */
  get isReceiving(): boolean {
    return this.#isPaused || this.#splitter.isInsideFrame;
  }

  /** Reports to `events` what arrives for `consumerId` from now on. */
  attach(consumerId: number, events: ConsumerEvents): void {
    this.#receivers.addConsumer(consumerId, events);
  }

  detach(consumerId: number): void {
    this.#receivers.removeConsumer(consumerId);
  }

  /** Reports to `events` what arrives for `producerId` from now on. */
  attachProducer(producerId: number, events: ProducerEvents): void {
    this.#receivers.addProducer(producerId, events);
  }

  detachProducer(producerId: number): void {
    this.#receivers.removeProducer(producerId);
  }

  /** Stops reading from the socket. For a moment only: PONG does not arrive either. */
  pause(): void {
    this.#isPaused = true;
    this.#socket?.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#socket?.resume();
  }

  /** Ends the connection, awaited. May be repeated; never throws. */
  async close(): Promise<void> {
    const socket = this.#socket;
    this.#lose(new BackupError('source', `the connection to ${this.name} was closed`, { retryable: true }));
    if (socket === undefined || socket.closed) return;
    await new Promise<void>((resolve) => socket.once('close', () => resolve()));
  }

  /** `split`: takes the chunk apart. */
  #onData(chunk: Buffer, split: () => void): void {
    this.#keepAlive.heard();
    try {
      split();
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#lose(
        new BackupError('source', `${this.name} sent what is not Pulsar's protocol: ${error.message}`, {
          retryable: this.#hasMet,
          hint: (!this.#hasMet ? otherProtocolHint(chunk, this.address.tls) : undefined) ?? SCHEME_HINT,
          cause: error,
        }),
      );
    }
  }

  #onFrame(frame: Buffer, block: ReceiveBlock | undefined): void {
    if (this.#lost !== undefined) return;
    const command = decodeCommand(frame);
    if (command === undefined) return;
    const { fields } = command;
    switch (command.name) {
      case 'ping':
        this.send('pong', {});
        break;
      case 'pong':
        break;
      case 'connected':
        this.#onConnected(fields as CommandFields<'connected'>);
        break;
      case 'authChallenge':
        this.send('authResponse', authResponseFields(this.#options, this.address.tls));
        break;
      case 'closeConsumer':
        this.#onConsumerClosed((fields as CommandFields<'closeConsumer'>).consumerId ?? -1);
        break;
      default:
        if (!this.#receivers.receive(command, frame, block)) this.#onAnswer(command);
    }
  }

  /** Brokers do not answer requests for a consumer that they have closed. */
  #onConsumerClosed(consumerId: Integer): void {
    const consumer = this.#receivers.removeConsumer(consumerId);
    this.#requests.fail('the broker has closed the consumer', consumerId);
    consumer?.onClosedByBroker();
  }

  #onConnected(fields: CommandFields<'connected'>): void {
    this.#broker = featuresOf(fields);
    this.#splitter.maxFrameBytes = this.#broker.maxMessageBytes + FRAME.paddingBytes;
    this.#handshake?.resolve();
  }

  #onAnswer(command: Command): void {
    if (this.#handshake !== undefined && command.name === 'error') {
      const fields = command.fields as CommandFields<'error'>;
      this.#lose(refusalOf(this.name, fields, this.#options, this.address.tls));
    } else this.#requests.answer(command);
  }

  /** Reports the loss to everybody, once. */
  #lose(error: BackupError): void {
    if (this.#lost !== undefined) return;
    this.#lost = error;
    this.#keepAlive.stop();
    this.#socket?.destroy();
    this.#splitter.close();
    this.#handshake?.reject(error);
    this.#requests.fail(error.message, undefined, error);
    this.#receivers.lose(error);
  }
}
