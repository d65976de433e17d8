// The consumers and producers that share one connection: gives each what arrives for it. What it does with that is its
// own business.
import { BackupError } from '../../errors.ts';
import type { EntryId } from '../../ports.ts';
import type { Integer } from './protocol/codec.ts';
import type { Command, CommandFields } from './protocol/frame.ts';
import type { ReceiveBlock } from './protocol/receive-memory.ts';

/** What a connection reports to a consumer. */
export interface ConsumerEvents {
  /**
   * `ackSet`: which messages of a batch are not acknowledged, where some are. `block`: where the bytes are; they are
   * valid until it returns, unless that is held.
   */
  onEntry(id: EntryId, bytes: Buffer, ackSet: readonly Integer[] | undefined, block?: ReceiveBlock): void;
  onActiveChange(isActive: boolean): void;
  onEndOfTopic(): void;
  /** The broker has closed this consumer: unload, deletion, shutdown. */
  onClosedByBroker(): void;
  onConnectionLost(error: BackupError): void;
  /** What the broker sent for this consumer makes no sense. */
  onFault(error: BackupError): void;
}

/** What a connection reports to a producer. */
export interface ProducerEvents {
  /** A receipt, a refusal, or the broker's end of the producer. */
  onCommand(command: Command): void;
  onConnectionLost(error: BackupError): void;
}

/** The receivers of one connection, by the ids that the broker knows. */
export class Receivers {
  readonly #connectionName: string;
  readonly #consumers = new Map<Integer, ConsumerEvents>();
  readonly #producers = new Map<Integer, ProducerEvents>();
  #entries = 0;

  /** `connectionName`: for messages to people. */
  constructor(connectionName: string) {
    this.#connectionName = connectionName;
  }

  /** How many entries came, for whichever consumer. */
  get entries(): number {
    return this.#entries;
  }

  addConsumer(id: number, events: ConsumerEvents): void {
    this.#consumers.set(id, events);
  }

  addProducer(id: number, events: ProducerEvents): void {
    this.#producers.set(id, events);
  }

  /** Reports nothing to the consumer any more. Returns it, if it was there. */
  removeConsumer(id: Integer): ConsumerEvents | undefined {
    const consumer = this.#consumers.get(id);
    this.#consumers.delete(id);
    return consumer;
  }

  removeProducer(id: number): void {
    this.#producers.delete(id);
  }

  /** Returns whether the command is one for a consumer or a producer. `frame`: the one that it came in, in `block`. */
  receive(command: Command, frame: Buffer, block: ReceiveBlock | undefined): boolean {
    const { name, fields } = command;
    switch (name) {
      case 'message':
        this.#onMessage(fields as CommandFields<'message'>, frame.subarray(command.end), block);
        return true;
      case 'activeConsumerChange': {
        const { consumerId, isActive } = fields as CommandFields<'activeConsumerChange'>;
        this.#consumers.get(consumerId ?? -1)?.onActiveChange(isActive === true);
        return true;
      }
      case 'reachedEndOfTopic':
        this.#consumers.get((fields as CommandFields<'reachedEndOfTopic'>).consumerId ?? -1)?.onEndOfTopic();
        return true;
      case 'sendReceipt':
      case 'sendError':
      case 'closeProducer': {
        const { producerId } = fields as CommandFields<'sendReceipt'>;
        this.#producers.get(producerId ?? -1)?.onCommand(command);
        return true;
      }
      default:
        return false;
    }
  }

  /** The connection is lost: reports it to all, and forgets them. */
  lose(error: BackupError): void {
    const all = [...this.#consumers.values(), ...this.#producers.values()];
    this.#consumers.clear();
    this.#producers.clear();
    for (const one of all) one.onConnectionLost(error);
  }

  #onMessage(fields: CommandFields<'message'>, bytes: Buffer, block: ReceiveBlock | undefined): void {
    this.#entries++;
    const consumer = this.#consumers.get(fields.consumerId ?? -1);
    if (consumer === undefined) return;
    const { ledgerId, entryId } = fields.messageId ?? {};
    if (typeof ledgerId === 'number' && typeof entryId === 'number') {
      consumer.onEntry({ ledgerId, entryId }, bytes, fields.ackSet, block);
      return;
    }
    consumer.onFault(
      new BackupError(
        'source',
        `${this.#connectionName} sent the message id ${ledgerId}:${entryId}, beyond 2^53`,
        {
          hint: 'Objects are named by message ids as exact numbers; this topic cannot be backed up as it is.',
        },
      ),
    );
  }
}
