// Whether a topic has a message, asked as a reader that reads nothing and of which nothing stays at the broker.
import { randomBytes } from 'node:crypto';
import { BackupError } from '../../errors.ts';
import { BrokerConsumer } from './broker-consumer.ts';
import type { Cluster } from './cluster.ts';
import { SUBSCRIPTION_TYPE } from './protocol/tables.ts';

const ANSWER_TIMEOUT_MS = 5_000;
const CLOSE_TIMEOUT_MS = 2_000;
/** Consumers of others on these connections count from 1. */
let lastConsumerId = 1_000_000_000;

/** `undefined` where the broker does not let the role know. */
export async function isTopicEmpty(cluster: Cluster, topic: string): Promise<boolean | undefined> {
  try {
    const consumer = new BrokerConsumer(await cluster.locate(topic), ++lastConsumerId, topic);
    await consumer.subscribe(
      {
        topic,
        subscription: `tdmq-backup-look-${randomBytes(4).toString('hex')}`,
        consumerName: 'tdmq-backup-look',
        subType: SUBSCRIPTION_TYPE.Exclusive,
        initialPosition: 'earliest',
        startAt: { ledgerId: 0, entryId: 0 },
      },
      {
        onEntry: () => undefined,
        onActiveChange: () => undefined,
        onEndOfTopic: () => undefined,
        onClosedByBroker: () => undefined,
        onConnectionLost: () => undefined,
        onFault: () => undefined,
      },
    );
    try {
      return (await consumer.lastPositions(ANSWER_TIMEOUT_MS)).last === undefined;
    } finally {
      await consumer.close(CLOSE_TIMEOUT_MS);
    }
  } catch (error) {
    if (error instanceof BackupError) return undefined;
    throw error;
  }
}
