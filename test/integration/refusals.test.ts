// What real brokers of several versions refuse with, and the hints that are made of it.
import { describe, expect, it, vi } from 'vitest';
import { createWireSource } from '../../src/pulsar/wire/source.ts';
import { parseTopicName, type TopicName } from '../../src/topic-name.ts';
import { contractOptions } from '../contract/contract-options.ts';
import { createTopic } from './broker/topics.ts';
import type { PulsarVersion } from './broker/version.ts';
import { useBroker } from './use-broker.ts';

const VERSIONS: readonly PulsarVersion[] = ['2.7.2', '2.9.1', '3.0.0', '4.0.7'];

describe.each(VERSIONS)('a real broker %s', (version) => {
  const broker = useBroker({ version });
  const urls = () => [broker().serviceUrl, broker().httpUrl];

  /** Opens a source and closes it: how it failed, and what it warned of. */
  async function open(serviceUrl: string, topic: string, listenerName?: string) {
    const warnings: string[] = [];
    const options = contractOptions({ serviceUrl, topic: parseTopicName(topic) as TopicName, listenerName });
    const logger = { ...options.logger, warn: (_: object, message: string) => void warnings.push(message) };
    const source = createWireSource({ ...options, logger });
    const failure = await source.open().then(
      () => undefined,
      (error: unknown) => error,
    );
    await source.close();
    return { failure, warnings };
  }

  it.each(['public/nowhere/orders', 'nobody/nowhere/orders'])(
    'says that %s is not there, at once',
    async (topic) => {
      for (const url of urls()) {
        expect((await open(url, topic)).failure, url).toMatchObject({
          code: 'source',
          retryable: false,
          hint: expect.stringMatching(/PULSAR_TOPIC.*tenant, namespace or topic/),
        });
      }
    },
  );

  it('says that it knows no listener of a name, or that it passes over the name', async () => {
    const topic = await createTopic(broker(), 'orders', 2);
    for (const url of urls()) {
      const { failure, warnings } = await open(url, topic, 'nowhere');
      if (version === '2.7.2' && url.startsWith('http:')) {
        expect(failure).toBeUndefined();
        expect(warnings).toEqual([expect.stringMatching(/^PULSAR_LISTENER_NAME ignored/)]);
      } else {
        expect(failure, url).toMatchObject({ hint: expect.stringMatching(/^Check PULSAR_LISTENER_NAME/) });
      }
    }
    expect(await open(broker().httpUrl, topic)).toEqual({ failure: undefined, warnings: [] });
  });

  it('refuses a consumer beyond the limit of the topic, which is a failure and no other run at work', async () => {
    const topic = await createTopic(broker(), 'limited');
    const options = contractOptions({
      serviceUrl: broker().serviceUrl,
      topic: parseTopicName(topic) as TopicName,
      subscription: 'of-somebody-else',
    });
    const other = createWireSource(options);
    await other.open();
    await broker().admin('POST', 'namespaces/public/default/maxConsumersPerTopic', 1);
    // The policy takes a while to reach the topic.
    await vi.waitFor(async () => {
      expect((await open(broker().serviceUrl, topic)).failure).toMatchObject({
        code: 'source',
        hint: expect.stringContaining('maxConsumersPerTopic'),
      });
    }, 10_000);
    await other.close();
    await broker().admin('POST', 'namespaces/public/default/maxConsumersPerTopic', 0);
  });
});
