// The producers of one client: their names, what they store, and its receipts.

import type { CommandFields } from '../../pulsar/wire/protocol/frame.ts';
import { SERVER_ERROR } from '../../pulsar/wire/protocol/tables.ts';
import type { Connection } from './accepted-socket.ts';
import { describeEntry, type Position } from './entry.ts';
import { isChecksumRight } from './frames.ts';
import { Refusal } from './refusal.ts';
import type { Topic } from './topic.ts';

/** Where Pulsar says that a duplicate is. */
const NOWHERE: Position = { ledgerId: -1, entryId: -1 };

interface SessionProducer {
  readonly id: number;
  readonly name: string;
  readonly topic: Topic;
}

let generatedNames = 0;

/** The producers of one connection. */
export class SessionProducers {
  readonly #connection: Connection;
  readonly #producers = new Map<number, SessionProducer>();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Answers PRODUCER. @throws Refusal */
  open(
    { producerId, requestId, producerName }: CommandFields<'producer'>,
    topic: Topic,
    schemaVersion: Uint8Array = new Uint8Array(),
  ): void {
    if (topic.isTerminated) throw terminated();
    const name = producerName ?? `loopback-0-${++generatedNames}`;
    if (!topic.producers.connect(name)) {
      const message = `Producer with name '${name}' is already connected to topic`;
      throw new Refusal(SERVER_ERROR.ProducerBusy, message);
    }
    this.#producers.set(Number(producerId), { id: Number(producerId), name, topic });
    this.#connection.send('producerSuccess', {
      requestId,
      producerName: name,
      lastSequenceId: topic.producers.lastSequenceId(name),
      producerReady: true,
      schemaVersion,
    });
  }

  /** Stores what came with SEND, and answers with its receipt. @throws Refusal */
  store(fields: CommandFields<'send'>, rest: Buffer): void {
    const { producerId = 0, sequenceId = 0, highestSequenceId } = fields;
    const producer = this.#producers.get(Number(producerId));
    if (producer === undefined) throw new Error('SEND without a producer');
    const { topic, name } = producer;
    if (topic.isTerminated) throw terminated();
    if (!isChecksumRight(rest))
      throw new Refusal(SERVER_ERROR.ChecksumError, 'Checksum failed on the broker');
    const isNew = topic.producers.take(name, fields, rest);
    const { ledgerId, entryId } = isNew ? topic.append(describeEntry(rest)) : NOWHERE;
    this.#connection.send('sendReceipt', {
      producerId,
      sequenceId,
      messageId: { ledgerId, entryId },
      highestSequenceId,
    });
  }

  /** Answers CLOSE_PRODUCER. */
  close({ producerId, requestId }: CommandFields<'closeProducer'>): void {
    this.#drop(Number(producerId));
    this.#connection.send('success', { requestId });
  }

  /** Takes the producers of a topic away. */
  closeOf(topic: Topic): void {
    for (const producer of this.#producers.values()) {
      if (producer.topic !== topic) continue;
      this.#drop(producer.id);
      this.#connection.send('closeProducer', { producerId: producer.id, requestId: -1 });
    }
  }

  /** The connection has ended. */
  end(): void {
    for (const { id } of [...this.#producers.values()]) this.#drop(id);
  }

  #drop(id: number): void {
    const producer = this.#producers.get(id);
    producer?.topic.producers.disconnect(producer.name);
    this.#producers.delete(id);
  }
}

const terminated = () => new Refusal(SERVER_ERROR.TopicTerminatedError, 'Topic was already terminated');
