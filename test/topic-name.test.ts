import { expect, it } from 'vitest';
import { parseTopicName, partitionTopic } from '../src/topic-name.ts';

it('reads both spellings of a topic name as the same topic', () => {
  const long = parseTopicName('persistent://pulsar-abc/default/orders');
  expect(long).toEqual(parseTopicName('pulsar-abc/default/orders'));
  expect(long?.full).toBe('persistent://pulsar-abc/default/orders');
});

it('refuses what is no topic name', () => {
  for (const text of [
    '',
    'orders',
    'a/b',
    'a/b/c/d',
    'non-persistent://a/b/c',
    'a/b/c\td',
    'a b/c/d',
    'a//c',
  ]) {
    expect(parseTopicName(text), text).toBeUndefined();
  }
});

it("refuses parts that URLs and object keys lose on their way: '.' and '..'", () => {
  for (const text of ['a/b/..', 'a/b/.', 'a/../c', 'a/./c', '../b/c', './b/c', 'persistent://a/b/..']) {
    expect(parseTopicName(text), text).toBeUndefined();
  }
  for (const topic of ['...', '..a', 'a..', '. .', '%2e%2e']) {
    expect(parseTopicName(`a/b/${topic}`)?.topic).toBe(topic);
  }
});

it('takes every topic that brokers take: spaces, signs and letters of all kinds', () => {
  for (const topic of ['a b', 'a%20b', 'a+b', 'a#b?c&d=e', '订单', 'a:b', "a'b(c)*!~", 'a\\b', '🦜']) {
    expect(parseTopicName(`t/n/${topic}`)).toMatchObject({ topic, full: `persistent://t/n/${topic}` });
  }
});

it('names a partition as Pulsar does, and a plain topic by its own name', () => {
  const topic = parseTopicName('t/n/orders');
  if (topic === undefined) throw new Error('not parsed');
  expect(partitionTopic(topic, 3)).toBe('persistent://t/n/orders-partition-3');
  expect(partitionTopic(topic, -1)).toBe('persistent://t/n/orders');
});
