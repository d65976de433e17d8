// What `archive restore` promises of messages, by what the official client published and read.
import { expect } from 'vitest';
import type { ConsumedMessage, PublishedMessage } from './python-clients.ts';

/** The id that a restored message had in the topic of before. */
export const oldId = ({ properties }: ConsumedMessage) => properties['tdmq-backup-id'] as string;

/** Everything that is promised of a restored message, whoever reports it. */
export function promised(message: ConsumedMessage | PublishedMessage) {
  const { key, orderingKey, eventTimeMs, sha256 } = message;
  const { 'tdmq-backup-id': _id, 'tdmq-backup-publish-time': _time, ...own } = message.properties;
  const properties = Object.entries(own).sort(([a], [b]) => (a < b ? -1 : 1));
  return { key, orderingKey, eventTimeMs, sha256, properties };
}

/** Each published message was restored once, with all that is promised of it. */
export function expectRestored(
  published: readonly PublishedMessage[],
  restored: readonly ConsumedMessage[],
): void {
  expect(restored.map(oldId).toSorted()).toEqual(published.map(({ id }) => id).toSorted());
  const byId = new Map(published.map((message) => [message.id, message]));
  for (const message of restored)
    expect(promised(message), oldId(message)).toEqual(promised(byId.get(oldId(message)) as PublishedMessage));
}

/** In each new partition, the messages of an old one were read in their old order. */
export function expectInOrder(restored: readonly ConsumedMessage[]): void {
  const orders = new Map<string, number[][]>();
  for (const message of restored) {
    const [ledger, entry, partition, batchIndex] = oldId(message).split(':').map(Number) as number[];
    const name = `${partition} ${message.topic}`;
    orders.set(name, [...(orders.get(name) ?? []), [ledger, entry, batchIndex] as number[]]);
  }
  const compare = (a: number[], b: number[]) =>
    a.map((part, i) => part - (b[i] as number)).find((difference) => difference !== 0) ?? 0;
  for (const [name, ids] of orders) expect(ids, name).toEqual(ids.toSorted(compare));
}
