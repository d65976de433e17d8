// A consumer at its broker, from SUBSCRIBE to its end: one consumer id on one connection. Never reused:
// consumer-link.ts subscribes another one.
import { BackupError } from '../../errors.ts';
import type { EntryId } from '../../ports.ts';
import type { EntryAck } from './ack-plan.ts';
import type { Connection } from './connection.ts';
import type { Fields } from './protocol/codec.ts';
import type { CommandFields } from './protocol/frame.ts';
import { serverError } from './protocol/server-error.ts';
import { ACK_TYPE, INITIAL_POSITION, SERVER_ERROR } from './protocol/tables.ts';
import type { ConsumerEvents } from './receivers.ts';

/** Brokers from this protocol version on confirm acknowledgements. */
const ACK_RECEIPTS_SINCE = 17;
const MAX_IDS_PER_ACK = 1_000;
const TRANSACTIONS_TIMEOUT_MS = 2_000;

/** What SUBSCRIBE says. */
export interface Subscription {
  readonly topic: string;
  readonly subscription: string;
  /** Brokers share Failover partitions out by it, so it is one for all partitions of a run. */
  readonly consumerName: string;
  readonly subType: number;
  readonly initialPosition: 'earliest' | 'latest';
  /** If set: a reader that begins with this entry, and leaves no subscription. */
  readonly startAt?: EntryId;
  /** Only for a partition of an existing topic: the broker may have deleted it for inactivity. */
  readonly createsTopic?: boolean;
}

/** The positions of topic and subscription. An entry id of -1 is before its ledger's first entry. */
export interface LastPositions {
  /** `undefined`: the topic is empty. */
  readonly last: EntryId | undefined;
  /** All up to here is acknowledged; `undefined` where the broker is too old to report it. */
  readonly acknowledged: EntryId | undefined;
}

/** A subscribed consumer. */
export class BrokerConsumer {
  readonly #connection: Connection;
  readonly #consumerId: number;
  readonly #topic: string;

  constructor(connection: Connection, consumerId: number, topic: string) {
    this.#connection = connection;
    this.#consumerId = consumerId;
    this.#topic = topic;
  }

  /** Subscribes. @throws BackupError `source` */
  async subscribe(to: Subscription, events: ConsumerEvents): Promise<void> {
    const consumerId = this.#consumerId;
    this.#connection.attach(consumerId, events);
    try {
      await this.#connection.request(
        'subscribe',
        {
          topic: to.topic,
          subscription: to.subscription,
          subType: to.subType,
          consumerName: to.consumerName,
          consumerId,
          durable: to.startAt === undefined,
          ...(to.startAt === undefined ? {} : { startMessageId: asStart(to.startAt) }),
          initialPosition:
            to.initialPosition === 'earliest' ? INITIAL_POSITION.Earliest : INITIAL_POSITION.Latest,
          forceTopicCreation: to.createsTopic === true,
        },
        `subscribing "${to.subscription}" to ${to.topic}`,
      );
    } catch (error) {
      this.detach();
      // If only its response is late, close the unused consumer at the broker.
      if (error instanceof BackupError && error.outcomeUnknown) {
        this.#connection.send('closeConsumer', { consumerId, requestId: 0 });
      }
      throw error;
    }
  }

  /** Another consumer on the same connection. */
  beside(consumerId: number): BrokerConsumer {
    return new BrokerConsumer(this.#connection, consumerId, this.#topic);
  }

  /** How many entries its connection brought, for whichever consumer. */
  get entriesOnConnection(): number {
    return this.#connection.entries;
  }

  /** Whether its connection is about to bring more, for whichever consumer. */
  get isConnectionReceiving(): boolean {
    return this.#connection.isReceiving;
  }

  /** Lets the broker send more. */
  grantPermits(messagePermits: number): void {
    this.#connection.send('flow', { consumerId: this.#consumerId, messagePermits });
  }

  /** Stops its connection from reading, which it may share with others. */
  pause(): void {
    this.#connection.pause();
  }

  resume(): void {
    this.#connection.resume();
  }

  /** Stops reporting what arrives for it. */
  detach(): void {
    this.#connection.detach(this.#consumerId);
  }

  /** Closes it at the broker; ignores failures. */
  async close(timeoutMs: number): Promise<void> {
    this.detach();
    await this.#connection
      .request(
        'closeConsumer',
        { consumerId: this.#consumerId },
        `closing the consumer of ${this.#topic}`,
        timeoutMs,
      )
      .catch(() => undefined);
  }

  /** Acknowledges everything up to `id`; resolves when the broker has it. @throws BackupError `source` */
  acknowledgeUpTo(id: EntryId): Promise<void> {
    return this.#acknowledge(ACK_TYPE.Cumulative, [id]);
  }

  /** Acknowledges these entries; resolves when the broker has it. @throws BackupError `source` */
  async acknowledgeEach(ids: readonly EntryAck[]): Promise<void> {
    const acks: Promise<void>[] = [];
    for (let at = 0; at < ids.length; at += MAX_IDS_PER_ACK) {
      acks.push(this.#acknowledge(ACK_TYPE.Individual, ids.slice(at, at + MAX_IDS_PER_ACK)));
    }
    await Promise.all(acks);
  }

  /** How many entries the subscription has left, where the broker reports it. @throws BackupError `source` */
  async backlogEntries(timeoutMs?: number): Promise<number | undefined> {
    const answer = await this.#connection.request(
      'consumerStats',
      { consumerId: this.#consumerId },
      `reading the backlog of ${this.#topic}`,
      timeoutMs,
    );
    const { msgBacklog } = answer.fields as CommandFields<'consumerStatsResponse'>;
    return typeof msgBacklog === 'number' ? msgBacklog : undefined;
  }

  /**
   * Whether the broker has transactions. The request names an impossible transaction: the broker replies that it does
   * not know the coordinator, or that transactions are off. Older brokers are not asked. @throws BackupError `source`
   */
  async hasTransactions(): Promise<boolean> {
    if (this.#connection.broker.protocolVersion < ACK_RECEIPTS_SINCE) return false;
    const nobody = { txnidMostBits: 0x7fff_ffff, txnidLeastBits: 0 };
    const what = 'asking whether the broker has transactions';
    const answer = await this.#connection.request(
      'addSubscriptionToTxn',
      nobody,
      what,
      TRANSACTIONS_TIMEOUT_MS,
    );
    const { error } = answer.fields as CommandFields<'addSubscriptionToTxnResponse'>;
    return error !== SERVER_ERROR.NotAllowedError;
  }

  /** @throws BackupError `source` */
  async lastPositions(timeoutMs?: number): Promise<LastPositions> {
    const what = `reading the last message id of ${this.#topic}`;
    const consumerId = this.#consumerId;
    const answer = await this.#connection.request('getLastMessageId', { consumerId }, what, timeoutMs);
    const fields = answer.fields as CommandFields<'getLastMessageIdResponse'>;
    const last = positionOf(fields.lastMessageId);
    return {
      last: last === undefined || last.entryId < 0 ? undefined : last,
      acknowledged: positionOf(fields.consumerMarkDeletePosition),
    };
  }

  async #acknowledge(ackType: number, ids: readonly EntryAck[]): Promise<void> {
    const connection = this.#connection;
    const consumerId = this.#consumerId;
    const messageId = ids.map(({ ledgerId, entryId, part }) => ({
      ledgerId,
      entryId,
      ...(part === undefined ? {} : { ackSet: part.ackSet }),
    }));
    const what = `acknowledging ${ids.length === 1 ? 'an entry' : `${ids.length} entries`} of ${this.#topic}`;
    if (connection.broker.protocolVersion >= ACK_RECEIPTS_SINCE) {
      await connection.request('ack', { consumerId, ackType, messageId }, what);
      return;
    }
    // A broker executes a connection's commands in order: the response to a later one proves that this one was
    // executed. Requesting the last message id does not work: brokers refuse it if the ledger of the last message is
    // deleted.
    connection.send('ack', { consumerId, ackType, messageId });
    const answer = await connection.request('consumerStats', { consumerId }, what);
    const { errorCode, errorMessage } = answer.fields as CommandFields<'consumerStatsResponse'>;
    if (errorCode !== undefined) throw serverError(what, errorCode, errorMessage);
  }
}

/** Brokers begin behind an entry, but with it where a batch index says which of its messages come first. */
const asStart = ({ ledgerId, entryId }: EntryId) => ({
  ledgerId,
  entryId: Math.max(0, entryId),
  batchIndex: 0,
});

/** Brokers write -1 as 2^64-1, which is no exact number. */
function positionOf(id: Fields<'MessageIdData'> | undefined): EntryId | undefined {
  const { ledgerId, entryId } = id ?? {};
  if (typeof ledgerId !== 'number') return undefined;
  return { ledgerId, entryId: typeof entryId === 'number' ? entryId : -1 };
}
