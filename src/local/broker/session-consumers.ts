// The consumers of one client: what they subscribe to, what they get, and what they acknowledge.
import type { CommandFields } from '../../pulsar/wire/protocol/frame.ts';
import {
  ACK_TYPE,
  INITIAL_POSITION,
  SERVER_ERROR,
  SUBSCRIPTION_TYPE,
} from '../../pulsar/wire/protocol/tables.ts';
import type { Connection } from './accepted-socket.ts';
import type { BrokerContext } from './broker-context.ts';
import type { Position, StoredEntry } from './entry.ts';
import { encodeBrokerEntryMetadata } from './frames.ts';
import { bitsOf, positionFrom, wordsOf } from './message-id.ts';
import { Refusal, sendRefusal } from './refusal.ts';
import type { Consumer, ConsumerPort, Subscription, SubscriptionType } from './subscription.ts';
import type { Topic } from './topic.ts';

const UNSUBSCRIBE_MS = 20;
const ACK_RECEIPT_VERSION = 17;

/** A consumer of this session. */
export interface SessionConsumer {
  readonly id: number;
  readonly name: string;
  readonly topic: Topic;
  readonly subscription: Subscription;
  readonly consumer: Consumer;
  readonly isDurable: boolean;
  epoch: number | bigint | undefined;
}

const TYPE_NAMES = new Map(
  Object.entries(SUBSCRIPTION_TYPE).map(([name, number]) => [number as number, name as SubscriptionType]),
);

/** The consumers of one connection. */
export class SessionConsumers {
  /** Whether the client can read what a broker may put before an entry. */
  wantsBrokerEntryMetadata = false;
  readonly #connection: Connection;
  readonly #context: BrokerContext;
  readonly #consumers = new Map<number, SessionConsumer>();
  #hasEnded = false;

  constructor(connection: Connection, context: BrokerContext) {
    this.#connection = connection;
    this.#context = context;
  }

  /** Those that are connected now. */
  all(): SessionConsumer[] {
    return [...this.#consumers.values()];
  }

  /** Answers SUBSCRIBE. @throws Refusal */
  subscribe(fields: CommandFields<'subscribe'>, topic: Topic): void {
    const { requestId, subscription: name = '', subType = 0, durable = true } = fields;
    const id = Number(fields.consumerId);
    if (this.#consumers.has(id)) {
      this.#connection.send('success', { requestId });
      return;
    }
    const from = fields.initialPosition === INITIAL_POSITION.Earliest ? 'earliest' : 'latest';
    const isNew = !topic.subscriptions.has(name);
    const subscription = topic.subscribe(name, from, this.#context.subscriptionOptions);
    if (isNew && fields.startMessageId !== undefined) {
      const start = positionFrom(fields.startMessageId);
      const isInBatch = (fields.startMessageId.batchIndex ?? -1) >= 0;
      subscription.reset(Math.max(-1, topic.placeOf(start) - (isInBatch ? 1 : 0)));
    }
    const consumerName = fields.consumerName ?? '';
    const type = TYPE_NAMES.get(subType) ?? 'Exclusive';
    const consumer = subscription.add(this.#port(id, topic, consumerName, fields.priorityLevel ?? 0), type);
    if (typeof consumer === 'string') {
      void this.#refuseOrTakeOver(fields, topic, subscription, consumer);
      return;
    }
    const epoch = fields.consumerEpoch;
    this.#consumers.set(id, {
      id,
      name: consumerName,
      topic,
      subscription,
      consumer,
      isDurable: durable,
      epoch,
    });
    this.#connection.send('success', { requestId });
  }

  /** An Exclusive consumer keeps its subscription only if its client answers a PING, as since Pulsar 3.0. */
  async #refuseOrTakeOver(
    fields: CommandFields<'subscribe'>,
    topic: Topic,
    busy: Subscription,
    message: string,
  ): Promise<void> {
    const holder = busy.consumers[0];
    const isExclusive = busy.type === 'Exclusive' && fields.subType === SUBSCRIPTION_TYPE.Exclusive;
    if (!isExclusive || holder === undefined || (await holder.port.checkAlive())) {
      sendRefusal(this.#connection, 'subscribe', fields, { code: SERVER_ERROR.ConsumerBusy, message });
      return;
    }
    busy.remove(holder);
    if (this.#hasEnded) return;
    this.subscribe(fields, topic);
  }

  #port(id: number, topic: Topic, name: string, priority: number): ConsumerPort {
    return {
      name,
      priority,
      isWritable: () => this.#connection.isWritable,
      checkAlive: () => this.#connection.checkAlive(this.#context.livenessCheckMs),
      deliver: (entry, redeliveryCount) => this.#deliver(id, topic, entry, redeliveryCount),
      activeChanged: (isActive) =>
        this.#connection.send('activeConsumerChange', { consumerId: id, isActive }),
      reachedEnd: () => this.#connection.send('reachedEndOfTopic', { consumerId: id }),
      closed: () => {
        this.#consumers.delete(id);
        this.#connection.send('closeConsumer', { consumerId: id, requestId: -1 });
      },
    };
  }

  #deliver(consumerId: number, topic: Topic, entry: StoredEntry, redeliveryCount: number): void {
    const { ledgerId, entryId } = entry;
    const fields = {
      consumerId,
      messageId: { ledgerId, entryId, partition: topic.partition },
      redeliveryCount: redeliveryCount === 0 ? undefined : redeliveryCount,
      consumerEpoch: this.#consumers.get(consumerId)?.epoch,
      ackSet: wordsOf(this.#consumers.get(consumerId)?.subscription.cursor.partOf(entry.place)),
    };
    for (const bytes of this.#context.faults.bytesToSend(entry)) {
      this.#connection.send('message', fields, this.#withBrokerEntryMetadata(entry, bytes));
    }
    if (this.#context.faults.mustCloseNow()) this.#connection.end();
  }

  #withBrokerEntryMetadata(entry: StoredEntry, bytes: Uint8Array): Uint8Array {
    if (!this.#context.addsBrokerEntryMetadata || !this.wantsBrokerEntryMetadata) return bytes;
    const fields = { brokerTimestamp: entry.storedAtMs, index: entry.place };
    return Buffer.concat([encodeBrokerEntryMetadata(fields), bytes]);
  }

  /** Acts upon FLOW. */
  flow({ consumerId, messagePermits = 0 }: CommandFields<'flow'>): void {
    const held = this.#consumer(consumerId);
    held?.subscription.flow(held.consumer, messagePermits);
  }

  /** Acts upon ACK, and answers it where it asks for a receipt. */
  ack({ consumerId = 0, ackType, messageId = [], requestId }: CommandFields<'ack'>): void {
    const held = this.#consumer(consumerId);
    if (held === undefined) return;
    const fault = this.#context.faults.takeAckFault();
    if (fault === 'close-before') this.#connection.destroy();
    if (fault === 'close-before' || fault === 'ignore') return;
    const { topic, subscription } = held;
    // Without batch-index acknowledgement, an id with an ack set says nothing about the whole entry.
    if (this.#context.acknowledgesBatchIndexes && ackType !== ACK_TYPE.Cumulative) {
      for (const id of messageId) {
        const place = topic.entryAt(positionFrom(id))?.place;
        if (place !== undefined && id.ackSet?.length) subscription.ackPart(place, bitsOf(id.ackSet));
      }
    }
    const whole = messageId.filter(({ ackSet }) => ackSet === undefined || ackSet.length === 0);
    if (ackType === ACK_TYPE.Cumulative) {
      for (const id of whole) subscription.ackCumulative(topic.placeOf(positionFrom(id)));
    } else {
      const entries = whole.map((id) => topic.entryAt(positionFrom(id)));
      subscription.ackEach(entries.filter((entry) => entry !== undefined).map(({ place }) => place));
    }
    if (fault === 'close-after') this.#connection.destroy();
    if (requestId === undefined || !this.#hasReceipts || fault !== undefined) return;
    this.#connection.send('ackResponse', { consumerId, requestId });
  }

  /** Answers GET_LAST_MESSAGE_ID. @throws Refusal */
  getLastMessageId({ consumerId, requestId }: CommandFields<'getLastMessageId'>): void {
    const { topic, subscription } = this.#consumerOrRefuse(consumerId);
    const { lastEntry: lastOf } = this.#context.faults;
    const { partition } = topic;
    const lastEntry = lastOf === undefined ? topic.lastEntry : lastOf(topic.entries);
    const { ledgerId, entryId } = lastEntry ?? { ledgerId: -1, entryId: -1 };
    const batchIndex = lastEntry?.isBatch === true ? lastEntry.messages - 1 : -1;
    const markDelete = topic.positionOf(subscription.cursor.markDelete);
    this.#connection.send('getLastMessageIdResponse', {
      lastMessageId: { ledgerId, entryId, partition, batchIndex },
      requestId,
      consumerMarkDeletePosition: this.#hasReceipts ? markDelete : undefined,
    });
  }

  /** Answers CONSUMER_STATS. @throws Error where the connection cannot go on */
  consumerStats({ consumerId, requestId }: CommandFields<'consumerStats'>): void {
    const held = this.#consumer(consumerId);
    // As Pulsar 4.0.7 does it, by a NullPointerException.
    if (held === undefined) throw new Error('CONSUMER_STATS without a consumer');
    const { consumer, subscription, name } = held;
    this.#connection.send('consumerStatsResponse', {
      requestId,
      consumerName: name,
      availablePermits: consumer.permits,
      unackedMessages: consumer.unackedMessages,
      blockedConsumerOnUnackedMsgs: consumer.isBlocked,
      address: this.#connection.address,
      type: subscription.type,
      msgBacklog: subscription.backlogEntries,
    });
  }

  /** Acts upon REDELIVER_UNACKNOWLEDGED_MESSAGES. */
  redeliver(fields: CommandFields<'redeliverUnacknowledgedMessages'>): void {
    const { consumerId, messageIds = [], consumerEpoch } = fields;
    const held = this.#consumer(consumerId);
    if (held === undefined) return;
    if (consumerEpoch !== undefined) held.epoch = consumerEpoch;
    const places = messageIds.map((id) => held.topic.entryAt(positionFrom(id))?.place ?? -1);
    held.subscription.redeliver(held.consumer, places);
  }

  /** Answers SEEK. @throws Refusal */
  seek({ consumerId, requestId, messageId, messagePublishTime }: CommandFields<'seek'>): void {
    const { topic, subscription } = this.#consumerOrRefuse(consumerId);
    const first =
      messageId === undefined
        ? topic.entries.findIndex(({ publishTimeMs }) => publishTimeMs >= Number(messagePublishTime ?? 0))
        : placeAt(topic, positionFrom(messageId));
    this.#connection.send('success', { requestId });
    subscription.reset((first < 0 && messageId === undefined ? topic.entries.length : first) - 1);
  }

  /** Answers UNSUBSCRIBE. @throws Refusal */
  unsubscribe({ consumerId, requestId, force = false }: CommandFields<'unsubscribe'>): void {
    const held = this.#consumerOrRefuse(consumerId);
    const { topic, subscription } = held;
    if (subscription.consumers.length > 1 && !force) {
      throw new Refusal(
        SERVER_ERROR.ConsumerBusy,
        'Unconnected or shared consumer attempting to unsubscribe',
      );
    }
    topic.subscriptions.delete(subscription.name);
    this.#drop(held);
    subscription.closeConsumers();
    // Pulsar writes to its metadata store first. The C++ client 4.2.0 often crashes when the answers for the partitions
    // of a topic come while it is still asking.
    setTimeout(() => this.#connection.send('success', { requestId }), UNSUBSCRIBE_MS);
  }

  /** Answers CLOSE_CONSUMER. */
  close({ consumerId, requestId }: CommandFields<'closeConsumer'>): void {
    const held = this.#consumer(consumerId);
    if (held !== undefined) this.#drop(held);
    this.#connection.send('success', { requestId });
  }

  /** The connection has ended: everything unacknowledged goes back. */
  end(): void {
    this.#hasEnded = true;
    for (const held of this.all()) this.#drop(held);
  }

  /** The socket can take more. */
  resume(): void {
    for (const { subscription } of this.all()) subscription.dispatch();
  }

  get #hasReceipts(): boolean {
    return this.#context.faults.protocolVersion >= ACK_RECEIPT_VERSION;
  }

  #consumer(id: number | bigint | undefined): SessionConsumer | undefined {
    return this.#consumers.get(Number(id));
  }

  #consumerOrRefuse(id: number | bigint | undefined): SessionConsumer {
    const held = this.#consumer(id);
    if (held === undefined) throw new Refusal(SERVER_ERROR.MetadataError, 'Consumer not found');
    return held;
  }

  #drop(held: SessionConsumer): void {
    this.#consumers.delete(held.id);
    held.subscription.remove(held.consumer);
    if (!held.isDurable && held.subscription.consumers.length === 0) {
      held.topic.subscriptions.delete(held.subscription.name);
    }
  }
}

/** The place of the first entry at or after a position. */
function placeAt(topic: Topic, position: Position): number {
  return topic.entryAt(position)?.place ?? topic.placeOf(position) + 1;
}
