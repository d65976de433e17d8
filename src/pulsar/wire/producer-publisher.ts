// The Publisher over Pulsar's binary protocol: one connection per broker, one producer per topic partition.
import { randomBytes } from 'node:crypto';
import { retry } from '../../lib/retry.ts';
import type { Clock, Publisher, PublishOptions, TopicSchema } from '../../ports.ts';
import { partitionTopic, type TopicName } from '../../topic-name.ts';
import { type ClusterConfig, openCluster } from './open-cluster.ts';
import { WireProducer } from './producer.ts';
import type { CommandFields } from './protocol/frame.ts';
import { isServerError, serverError } from './protocol/server-error.ts';
import { publishError } from './publish-error.ts';
import { schemaFields, schemaOf } from './schema-fields.ts';
import { DEFAULT_TIMINGS } from './timer.ts';
import { isTopicEmpty } from './topic-look.ts';

/** For a producer that sends nothing. */
const LOOKING: PublishOptions = { compression: 'none', batching: false, windowBytes: 0, mayRepeat: false };

/** With pauses: a topic that moves from one broker to another is back then. */
const REGISTER_ATTEMPTS = 6;

/** Where to publish, and how long. */
export interface PublisherOptions {
  readonly config: ClusterConfig;
  readonly clock: Clock;
  /** Ends every wait. */
  readonly signal: AbortSignal;
}

/** A Publisher for brokers of Pulsar 2.7 and later. @throws BackupError `config` if the URL or a TLS file is unusable */
export function createWirePublisher({ config, clock, signal }: PublisherOptions): Publisher {
  const cluster = openCluster(config, { clock, timings: DEFAULT_TIMINGS });
  const producers = new Set<WireProducer>();
  let lastProducerId = 0;

  async function partitions(topic: TopicName): Promise<number> {
    try {
      return await cluster.partitions(topic);
    } catch (error) {
      throw publishError(error, topic.full);
    }
  }

  async function open(topic: string, producerName: string, options: PublishOptions): Promise<WireProducer> {
    const nextProducerId = () => ++lastProducerId;
    const place = { cluster, clock, topic, producerName, nextProducerId, signal };
    const producer = new WireProducer({ ...options, ...place });
    producers.add(producer);
    try {
      await producer.open();
    } catch (error) {
      await producer.close();
      throw error;
    }
    return producer;
  }

  /** Where schemas are enforced, as one of the topic's own: then it registers nothing. */
  async function openToLook(topic: string, producerName: string, hasSchemas: boolean): Promise<WireProducer> {
    try {
      return await open(topic, producerName, LOOKING);
    } catch (error) {
      if (!hasSchemas || !isServerError(error, 'IncompatibleSchema')) throw error;
      const connection = await cluster.locate(topic);
      const command = await connection.request('getSchema', { topic }, `reading the schema of ${topic}`);
      const { schema } = command.fields as CommandFields<'getSchemaResponse'>;
      if (schema === undefined) throw error;
      return open(topic, producerName, { ...LOOKING, schema: schemaOf(schema) });
    }
  }

  async function register(topic: string, schema: TopicSchema): Promise<Uint8Array> {
    const what = `registering a schema of ${topic}`;
    const connection = await cluster.locate(topic);
    const fields = { topic, schema: schemaFields(schema) };
    const command = await connection.request('getOrCreateSchema', fields, what);
    const answer = command.fields as CommandFields<'getOrCreateSchemaResponse'>;
    if (answer.errorCode !== undefined) throw serverError(what, answer.errorCode, answer.errorMessage);
    // The frame holds more than that.
    return Buffer.from(answer.schemaVersion ?? []);
  }

  return {
    partitions,
    async registerSchema(topic, schema) {
      try {
        return await retry(() => register(topic, schema), { clock, signal, attempts: REGISTER_ATTEMPTS });
      } catch (error) {
        if (!isServerError(error, 'TopicNotFound')) throw publishError(error, topic);
        // Nobody has used the topic yet: a producer creates it, where the namespace has it so.
        const producer = await open(topic, `tdmq-restore-schema-${randomBytes(4).toString('hex')}`, {
          ...LOOKING,
          schema,
        });
        try {
          return await register(topic, schema);
        } finally {
          await producer.close();
          producers.delete(producer);
        }
      }
    },
    async look(topic, { hasSchemas }) {
      await partitions(topic);
      const startedMs = clock.now();
      const count = await partitions(topic);
      const roundTripMs = clock.now() - startedMs;
      const producerName = `tdmq-restore-look-${randomBytes(4).toString('hex')}`;
      let maxEntryBytes = Number.POSITIVE_INFINITY;
      let isEmpty: boolean | undefined = true;
      for (let at = 0; at < Math.max(1, count); at++) {
        const name = partitionTopic(topic, count === 0 ? -1 : at);
        const producer = await openToLook(name, producerName, hasSchemas);
        maxEntryBytes = Math.min(maxEntryBytes, producer.maxEntryBytes);
        await producer.close();
        producers.delete(producer);
        if (isEmpty === true) isEmpty = await isTopicEmpty(cluster, name);
      }
      return { partitions: count, maxEntryBytes, isEmpty, roundTripMs };
    },
    open,
    async close() {
      await Promise.all([...producers].map((producer) => producer.close()));
      await cluster.close();
    },
  };
}
