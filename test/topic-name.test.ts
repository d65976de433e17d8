import { expect, it } from 'vitest';
import { parseTopicName, partitionTopic } from '../src/topic-name.ts';

it('reads both spellings of a topic name as the same topic', () => {
  const long = parseTopicName('persistent://pulsar-abc/default/orders');
  expect(long).toEqual(parseTopicName('pulsar-abc/default/orders'));
  expect(long?.full).toBe('persistent://pulsar-abc/default/orders');
});

it('refuses what is no topic name', () => {
  for (const text of ['', 'orders', 'a/b', 'a/b/c/d', 'non-persistent://a/b/c', 'a/b/c d', 'a//c']) {
    expect(parseTopicName(text), text).toBeUndefined();
  }
});

it('names a partition as Pulsar does, and a plain topic by its own name', () => {
  const topic = parseTopicName('t/n/orders');
  if (topic === undefined) throw new Error('not parsed');
  expect(partitionTopic(topic, 3)).toBe('persistent://t/n/orders-partition-3');
  expect(partitionTopic(topic, -1)).toBe('persistent://t/n/orders');
});
