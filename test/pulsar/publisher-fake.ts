// The native publisher over the fake of pulsar-client, as surroundings of the contract suite of Publisher.
import { systemClock } from '../../src/lib/clock.ts';
import { createNativePublisher } from '../../src/pulsar/native/producer.ts';
import { parseTopicName, type TopicName } from '../../src/topic-name.ts';
import { publisherOptions } from '../contract/publisher-loopback.ts';
import type { PublisherSurroundings } from '../contract/publisher-setup.ts';
import { FakeNativeBroker } from './fake-native-broker.ts';

const TOKENS = { 'may-produce': 'all', 'may-not-produce': 'reader', 'wrong-token': 'not-the-token' };

/** Starts a fake broker. */
export async function startFakeForPublishers(): Promise<PublisherSurroundings> {
  const maxEntryBytes = 1_200_000;
  const broker = new FakeNativeBroker({ all: 'all', noProduce: 'reader' }, maxEntryBytes);
  let topics = 0;
  return {
    clock: systemClock,
    maxEntryBytes,
    async createTopic(partitions, { deduplicates = false } = {}) {
      const topic = parseTopicName(`public/default/topic-${topics++}`) as TopicName;
      broker.addTopic(topic.full, partitions, deduplicates);
      return topic;
    },
    createPublisher: ({ role = 'may-produce', serviceUrl = 'pulsar://127.0.0.1:6650', signal } = {}) =>
      createNativePublisher(publisherOptions(serviceUrl, TOKENS[role], signal), async () => broker.module()),
    stored: async (topic) => broker.topic(topic).messages,
    unload: async () => broker.dropConnections(),
    async terminate(topic) {
      broker.topic(topic.full).isTerminated = true;
    },
    async pause() {
      broker.isPaused = true;
      return async ({ dropConnections = false } = {}) => {
        if (dropConnections) broker.dropConnections();
        broker.resume();
      };
    },
    stop: async () => undefined,
  };
}
