// Names that a real broker takes although they are not words, over both kinds of look-up, published to by the official
// Python client; and what it says about one that it does not take.
import { afterEach, expect, it } from 'vitest';
import { askAdmin } from '../../src/cli/check/pulsar-admin.ts';
import type { Source } from '../../src/ports.ts';
import { parseTopicName, type TopicName } from '../../src/topic-name.ts';
import { contractOptions } from '../contract/contract-options.ts';
import { publish } from './python-clients.ts';
import { useBroker } from './use-broker.ts';
import { drainPartition, idOf, openPartitions, wireSource } from './wire-drain.ts';

const broker = useBroker();
const opened: Source[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((source) => source.close()));
});
function source(config: Parameters<typeof wireSource>[0]): Source {
  const made = wireSource(config);
  opened.push(made);
  return made;
}

it.each(['with a space', 'a%20b', 'a+b', 'a#b?c&d=e', 'a:b;c', '订单 🦜', "it's (a)*!~"])(
  'a topic and subscriptions named %j are taken',
  async (name) => {
    const topic = parseTopicName(`public/default/${name}`) as TopicName;
    await broker().admin('PUT', `persistent/public/default/${encodeURIComponent(name)}/partitions`, 2);
    const published = await publish(broker().serviceUrl, { topic: topic.full, count: 20, size: 10 });
    for (const [serviceUrl, subscription] of [
      [broker().serviceUrl, `${name}/by binary`],
      [broker().httpUrl, `by http / ${name}`],
    ] as const) {
      const partitions = await openPartitions(source({ serviceUrl, topic: topic.full, subscription }));
      const got = await Promise.all(partitions.map((partition) => drainPartition(partition)));
      const ids = got.flat().map((message) => idOf(message));
      expect(ids.sort()).toEqual(published.map(({ id }) => id).sort());
      const { config } = contractOptions({ serviceUrl: broker().httpUrl, topic, subscription });
      const { subscription: seen } = await askAdmin(config, {}, new AbortController().signal);
      expect(seen).toMatchObject({ type: 'Exclusive', backlog: 0 });
    }
  },
);

it('a name that the broker does not take is said to be the topic', async () => {
  // An ideographic space alone is blank to Java.
  for (const serviceUrl of [broker().serviceUrl, broker().httpUrl]) {
    await expect(source({ serviceUrl, topic: 'public/default/\u3000' }).open()).rejects.toMatchObject({
      retryable: false,
      hint: expect.stringContaining('PULSAR_TOPIC'),
    });
  }
});
