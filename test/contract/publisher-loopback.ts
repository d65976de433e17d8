// A loopback broker as surroundings of the contract suite of Publisher.
import { systemClock } from '../../src/lib/clock.ts';
import { Secret } from '../../src/lib/secret.ts';
import type { PublisherOptions } from '../../src/pulsar/wire/producer-publisher.ts';
import { parseTopicName, type TopicName } from '../../src/topic-name.ts';
import { startLoopbackBroker } from '../stand-ins/broker/broker.ts';
import type { CreatePublisher, PublisherRole, PublisherSurroundings } from './publisher-setup.ts';
import { readStoredMessages } from './stored-messages.ts';

const TOKENS: Record<PublisherRole, string> = {
  'may-produce': 'a-token-that-may-produce',
  'may-not-produce': 'a-token-that-may-not',
  'wrong-token': 'not-the-token',
};

/** Starts a broker with token authentication, where topics are made only by the test. */
export async function startLoopbackForPublishers(create: CreatePublisher): Promise<PublisherSurroundings> {
  const maxEntryBytes = 200_000;
  const broker = await startLoopbackBroker({
    tokens: {
      [TOKENS['may-produce']]: { role: 'restore', isAllowed: true },
      [TOKENS['may-not-produce']]: { role: 'reader', isAllowed: true, mayProduce: false },
    },
    autoCreatesTopics: false,
    maxMessageSizeBytes: maxEntryBytes,
  });
  let topics = 0;
  return {
    clock: systemClock,
    maxEntryBytes,
    async createTopic(partitions, { deduplicates = false } = {}) {
      const topic = parseTopicName(`public/default/contract-${topics++}`) as TopicName;
      broker.createTopic(topic.full, partitions);
      if (deduplicates) broker.deduplicate(topic.full);
      return topic;
    },
    createPublisher: async ({ role = 'may-produce', serviceUrl = broker.serviceUrl, signal } = {}) =>
      create(publisherOptions(serviceUrl, TOKENS[role], signal)),
    stored: (topic) => readStoredMessages(broker, topic, TOKENS['may-produce']),
    unload: async (topic) => broker.unload(topic.full),
    terminate: async (topic) => broker.terminate(topic.full),
    async pause() {
      let goOn = (_: undefined) => {};
      const held = new Promise<undefined>((resolve) => {
        goOn = resolve;
      });
      const unhook = broker.onAnswer(() => held);
      return async ({ dropConnections = false } = {}) => {
        unhook();
        if (dropConnections) broker.dropConnections('reset');
        goOn(undefined);
      };
    },
    stop: () => broker.close(),
  };
}

export const publisherOptions = (
  serviceUrl: string,
  token: string,
  signal = new AbortController().signal,
): PublisherOptions => ({
  config: { serviceUrl, token: new Secret(token), tlsCaFile: undefined, listenerName: undefined },
  clock: systemClock,
  signal,
});
