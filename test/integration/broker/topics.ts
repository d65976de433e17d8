// What tests ask of a broker about topics, over its admin REST API.
import type { Broker } from './broker.ts';

/** Makes `public/default/<name>` and answers its full name. 0 partitions: a plain topic. */
export async function createTopic(broker: Broker, name: string, partitions = 0): Promise<string> {
  const path = `persistent/public/default/${name}`;
  if (partitions === 0) await broker.admin('PUT', path);
  else await broker.admin('PUT', `${path}/partitions`, partitions);
  return `persistent://public/default/${name}`;
}

/** Makes a durable subscription at the topic's beginning (or its end), so that nothing published later is missed. */
export async function createSubscription(
  broker: Broker,
  topic: string,
  subscription: string,
  position: 'earliest' | 'latest' = 'earliest',
): Promise<void> {
  // Brokers before 3.0 know no names of positions here; without one they take the end.
  const body = position === 'earliest' ? { ledgerId: -1, entryId: -1, partitionIndex: -1 } : undefined;
  await broker.admin('PUT', `${pathOf(topic)}/subscription/${subscription}`, body);
}

interface Stats {
  readonly subscriptions: Record<string, { msgBacklog: number } | undefined>;
}

/** How many entries (a batch counts as one) the subscription has not acknowledged, over all partitions. */
export async function backlogOf(broker: Broker, topic: string, subscription: string): Promise<number> {
  const path = pathOf(topic);
  const metadata = await broker.admin<{ partitions: number }>('GET', `${path}/partitions`);
  const kind = metadata.partitions > 0 ? 'partitioned-stats' : 'stats';
  const stats = await broker.admin<Stats>('GET', `${path}/${kind}?getPreciseBacklog=true`);
  const found = stats.subscriptions[subscription];
  if (found === undefined) throw new Error(`${topic} has no subscription ${subscription}`);
  return found.msgBacklog;
}

/** `persistent/tenant/namespace/topic`, as the admin API's paths have it. */
const pathOf = (topic: string) => topic.replace('://', '/');
