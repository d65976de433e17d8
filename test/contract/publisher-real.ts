// A real Pulsar broker, with token authentication, as surroundings of the contract suite of Publisher.
import { systemClock } from '../../src/lib/clock.ts';
import { parseTopicName, type TopicName } from '../../src/topic-name.ts';
import { startBroker } from '../integration/broker/broker.ts';
import { publisherOptions } from './publisher-loopback.ts';
import type { CreatePublisher, PublisherRole, PublisherSurroundings } from './publisher-setup.ts';
import { readStoredMessages } from './stored-messages.ts';

const MAX_MESSAGE_BYTES = 5 * 1_048_576;

/** Starts a broker of its own; `lookup` says which of its service URLs the publishers get. */
export async function startRealForPublishers(
  create: CreatePublisher,
  lookup: 'pulsar' | 'http' = 'pulsar',
): Promise<PublisherSurroundings> {
  const broker = await startBroker({ auth: true });
  await broker.admin('PUT', 'namespaces/public/deduplicated', {});
  await broker.admin('POST', 'namespaces/public/deduplicated/deduplication', true);
  for (const namespace of ['default', 'deduplicated']) {
    await broker.admin('POST', `namespaces/public/${namespace}/permissions/restore`, ['produce', 'consume']);
    await broker.admin('POST', `namespaces/public/${namespace}/permissions/reader`, ['consume']);
    // Nobody consumes: what is published stays all the same.
    const retention = { retentionTimeInMinutes: -1, retentionSizeInMB: -1 };
    await broker.admin('POST', `namespaces/public/${namespace}/retention`, retention);
  }
  const tokens: Record<PublisherRole, string> = {
    'may-produce': broker.token('restore'),
    'may-not-produce': broker.token('reader'),
    'wrong-token': 'not-the-token',
  };
  const ownUrl = lookup === 'http' ? broker.httpUrl : broker.serviceUrl;
  const topics: string[] = [];
  const pathOf = (topic: TopicName) => topic.full.replace('://', '/');
  const unload = (topic: string) => broker.admin('PUT', `${topic.replace('://', '/')}/unload`);
  return {
    clock: systemClock,
    maxEntryBytes: MAX_MESSAGE_BYTES,
    async createTopic(partitions, { deduplicates = false } = {}) {
      const name = `public/${deduplicates ? 'deduplicated' : 'default'}/contract-${topics.length}`;
      const topic = parseTopicName(name) as TopicName;
      if (partitions === 0) await broker.admin('PUT', `persistent/${name}`);
      else await broker.admin('PUT', `persistent/${name}/partitions`, partitions);
      topics.push(topic.full);
      return topic;
    },
    createPublisher: async ({ role = 'may-produce', serviceUrl = ownUrl, signal } = {}) =>
      create(publisherOptions(serviceUrl, tokens[role], signal)),
    stored: (topic) => readStoredMessages(broker, topic, tokens['may-produce']),
    async unload(topic) {
      await broker.admin('PUT', `${pathOf(topic)}/unload`);
    },
    async terminate(topic) {
      await broker.admin('POST', `${pathOf(topic)}/terminate`);
    },
    async pause() {
      await broker.freeze();
      return async ({ dropConnections = false } = {}) => {
        await broker.thaw();
        // The newest is the one of the test under way.
        if (dropConnections) await unload(topics.at(-1) as string);
      };
    },
    stop: () => broker.stop(),
  };
}
