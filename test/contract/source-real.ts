// A real Pulsar broker, with token authentication, as surroundings of the contract suite of Source.
import { systemClock } from '../../src/lib/clock.ts';
import { Secret } from '../../src/lib/secret.ts';
import { encodeEntry } from '../../src/local/broker/frames.ts';
import { parseTopicName, type TopicName } from '../../src/topic-name.ts';
import { startBroker } from '../integration/broker/broker.ts';
import { backlogOf, createTopic } from '../integration/broker/topics.ts';
import { encodeMessages } from '../stand-ins/broker/publish.ts';
import { connectPublisher, type EntryBytes } from './broker-publisher.ts';
import { type CreateSource, contractOptions } from './contract-options.ts';
import { ENCRYPTED, publishOptions } from './published-bytes.ts';
import type { PublishedEntry, SourceSurroundings } from './source-setup.ts';

/** Starts a broker of its own; `lookup` says which of its service URLs the sources get. */
export async function startRealSurroundings(
  create: CreateSource,
  lookup: 'pulsar' | 'http' = 'pulsar',
): Promise<SourceSurroundings> {
  const broker = await startBroker({ auth: true });
  const publisher = await connectPublisher(broker.serviceUrl, broker.adminToken);
  const serviceUrl = lookup === 'http' ? broker.httpUrl : broker.serviceUrl;
  const token = new Secret(broker.token('backup'));
  await broker.admin('POST', 'namespaces/public/default/permissions/backup', ['produce', 'consume']);
  let topics = 0;
  let sequenceId = 0;

  function bytesOf(entry: PublishedEntry): EntryBytes[] {
    const encoded = encodeMessages(entry.messages, sequenceId, publishOptions(entry));
    sequenceId += entry.messages.length;
    return encoded.map((bytes) => ({ bytes, messages: entry.messages.length, isChunk: encoded.length > 1 }));
  }

  return {
    clock: systemClock,
    async createTopic(partitions) {
      const full = await createTopic(broker, `contract-${topics++}`, partitions);
      return parseTopicName(full) as TopicName;
    },
    async publish(topic, entries) {
      const encoded = entries.map(bytesOf);
      const ids = await publisher.publish(topic, encoded.flat());
      let last = -1;
      return encoded.map((chunks) => {
        last += chunks.length;
        return ids[last] as (typeof ids)[0];
      });
    },
    async publishEncrypted(topic, payload) {
      const metadata = { ...ENCRYPTED, publishTime: Date.now() };
      const bytes = encodeEntry(metadata, payload);
      const [id] = await publisher.publish(topic, [{ bytes, messages: 1, isChunk: false }]);
      return id as NonNullable<typeof id>;
    },
    async registerSchema({ tenant, namespace, topic }) {
      const path = `schemas/${tenant}/${namespace}/${topic}/schema`;
      await broker.admin('POST', path, { type: 'STRING', schema: '', properties: {} });
    },
    createSource: (config, limits) => create(contractOptions({ serviceUrl, token, ...config }, limits)),
    backlogEntries: (topic, subscription) => backlogOf(broker, topic.full, subscription),
    async unload(topic) {
      await broker.admin('PUT', `${topic.full.replace('://', '/')}/unload`);
    },
    async stop() {
      await publisher.close();
      await broker.stop();
    },
  };
}
