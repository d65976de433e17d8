// The native adapter over the fake client, as surroundings of the contract suite of Source.

import { Secret } from '../../src/lib/secret.ts';
import type { EntryId } from '../../src/ports.ts';
import { createNativeSource } from '../../src/pulsar/native/source.ts';
import { parseTopicName, type TopicName } from '../../src/topic-name.ts';
import type { PublishedEntry, PublishedMessage, SourceSurroundings } from '../contract/source-setup.ts';
import { silentLogger } from '../fakes/loggers.ts';
import { type FakeEntry, type FakeMessageFields, FakePulsar } from './fake-pulsar-client.ts';
import { nativeConfig } from './native/fixture.ts';
import { virtualClock } from './virtual-clock.ts';

const TOKEN = 'the-right-token';

/** A fake broker; `isOld`: behind pulsar-client 1.14. */
export async function startFakeSurroundings(isOld = false): Promise<SourceSurroundings> {
  const clock = virtualClock();
  const pulsar = new FakePulsar(clock);
  pulsar.isOld = isOld;
  pulsar.token = TOKEN;
  let topics = 0;

  function publish(topic: string, published: PublishedEntry): EntryId {
    const { entries } = pulsar.topic(topic);
    const { messages, isBatch, producer, chunkSizeBytes } = published;
    const fields = messages.map((message) => fieldsOf(message, producer));
    const size = fields[0]?.data?.length ?? 0;
    const chunks = chunkSizeBytes === undefined ? 1 : Math.ceil(size / chunkSizeBytes);
    const first = entries.length;
    for (let chunk = 1; chunk < chunks; chunk++) {
      pulsar.publish(topic, {
        ledgerId: 3,
        entryId: entries.length,
        messages: [],
        isBatch: false,
        isChunk: true,
      });
    }
    const id = { ledgerId: 3, entryId: entries.length };
    const entry: FakeEntry = { ...id, messages: fields, isBatch, ...(chunks > 1 && { firstChunk: first }) };
    pulsar.publish(topic, entry);
    return id;
  }

  return {
    clock,
    async createTopic(partitions) {
      const topic = parseTopicName(`public/default/topic-${topics++}`) as TopicName;
      pulsar.addTopic(topic.full, partitions);
      return topic;
    },
    publish: async (topic, entries) => entries.map((entry) => publish(topic, entry)),
    async publishEncrypted(topic, payload) {
      const encryption = {
        keys: [],
        param: Uint8Array.of(1),
        algorithm: '',
        compressionType: 'None',
        uncompressedMessageSize: payload.length,
        batchSize: 1,
        isDecryptionFailed: true,
      };
      const id = { ledgerId: 3, entryId: pulsar.topic(topic).entries.length };
      pulsar.publish(topic, { ...id, messages: [{ data: payload, encryption }], isBatch: false });
      return id;
    },
    registerSchema: async () => undefined,
    createSource: (config, limits) =>
      createNativeSource(
        {
          config: nativeConfig({ token: new Secret(TOKEN), ...config }),
          receiveBudgetBytes: 2 ** 26,
          ...limits,
          clock,
          logger: silentLogger,
        },
        async () => pulsar.module(),
      ),
    backlogEntries: async (topic, subscription) => pulsar.backlog(topic.full, subscription),
    unload: async (topic) => pulsar.unload(topic.full),
    stop: async () => undefined,
  };
}

/** As libpulsar gives them: no tombstones, binary keys as their base64, ordering keys as text. */
function fieldsOf(message: PublishedMessage, producer: string | undefined): FakeMessageFields {
  const { payload, key, orderingKey, properties, eventTimeMs, publishTimeMs, replicatedFrom } = message;
  return {
    data: payload ?? '',
    ...(key !== undefined && { key: typeof key === 'string' ? key : Buffer.from(key).toString('base64') }),
    ...(orderingKey && { orderingKey: Buffer.from(orderingKey).toString() }),
    ...(properties && { properties }),
    ...(eventTimeMs && { eventTime: eventTimeMs }),
    ...(publishTimeMs && { publishTime: publishTimeMs }),
    ...(producer && { producer }),
    ...(replicatedFrom && { replicatedFrom }),
  };
}
