// A loopback broker as surroundings of the contract suite of Source.
import { systemClock } from '../../src/lib/clock.ts';
import { Secret } from '../../src/lib/secret.ts';
import { SCHEMA_TYPE } from '../../src/pulsar/wire/protocol/tables.ts';
import { parseTopicName, type TopicName } from '../../src/topic-name.ts';
import { type LoopbackBroker, startLoopbackBroker } from '../stand-ins/broker/broker.ts';
import { type CreateSource, contractOptions } from './contract-options.ts';
import { ENCRYPTED, publishOptions } from './published-bytes.ts';
import type { SourceSurroundings } from './source-setup.ts';

const TOKEN = 'a-token-of-the-loopback-broker';

/** Starts a broker with token authentication, where topics are made only by the test. */
export async function startLoopbackSurroundings(create: CreateSource): Promise<SourceSurroundings> {
  const broker: LoopbackBroker = await startLoopbackBroker({
    tokens: { [TOKEN]: { role: 'backup', isAllowed: true } },
    autoCreatesTopics: false,
    failoverDelayMs: 100,
  });
  let topics = 0;
  return {
    clock: systemClock,
    async createTopic(partitions) {
      const topic = parseTopicName(`public/default/contract-${topics++}`) as TopicName;
      broker.createTopic(topic.full, partitions);
      return topic;
    },
    publish: async (topic, entries) =>
      entries.map((entry) => {
        const ids = broker.publish(topic, entry.messages, publishOptions(entry));
        const { ledgerId, entryId } = ids[ids.length - 1] as (typeof ids)[0];
        return { ledgerId, entryId };
      }),
    publishEncrypted: async (topic, payload) => broker.appendEntry(topic, ENCRYPTED, payload),
    async registerSchema(topic) {
      broker.registerSchema(topic.full, { type: SCHEMA_TYPE.STRING });
    },
    createSource: (config, limits) =>
      create(contractOptions({ serviceUrl: broker.serviceUrl, token: new Secret(TOKEN), ...config }, limits)),
    backlogEntries: async (topic, subscription) => broker.subscriptionBacklog(topic.full, subscription),
    unload: async (topic) => broker.unload(topic.full),
    stop: () => broker.close(),
  };
}
