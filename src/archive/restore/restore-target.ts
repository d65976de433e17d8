// The topic that a restore publishes to: found, and held against what goes into it, before anything is published.
import { BackupError } from '../../errors.ts';
import type { Publisher, TopicLook } from '../../ports.ts';
import { parseTopicName, type TopicName } from '../../topic-name.ts';
import { choosePartition, type Route } from './restore-routing.ts';

export interface RestoreTarget {
  readonly topic: TopicName;
  /** 0 for a plain topic. */
  readonly partitions: number;
  /** Only where it was asked for. */
  readonly look?: TopicLook;
}

/**
 * Opens the topic for what has so many partitions. `withLook`: also finds out whether publishing would be refused.
 * @throws BackupError where it is not there, or has no such partition
 */
export async function openTarget(
  publisher: Publisher,
  topic: TopicName,
  how: {
    readonly route: Route;
    readonly sourcePartitions: number;
    readonly withLook: boolean;
    readonly hasSchemas: boolean;
  },
): Promise<RestoreTarget> {
  const { route, sourcePartitions, withLook, hasSchemas } = how;
  await expectPartition(publisher, topic);
  const look = withLook ? await publisher.look(topic, { hasSchemas }) : undefined;
  const partitions = look?.partitions ?? (await publisher.partitions(topic));
  choosePartition(route, sourcePartitions, partitions);
  return { topic, partitions, ...(look && { look }) };
}

/** A topic whose name ends as a partition's does is one, or would be a plain topic that nobody looks for. */
async function expectPartition(publisher: Publisher, { full }: TopicName): Promise<void> {
  const match = /^(.*)-partition-(\d+)$/.exec(full);
  const whole = parseTopicName(match?.[1] ?? '');
  if (match === null || whole === undefined) return;
  const partitions = await publisher.partitions(whole);
  if (Number(match[2]) < partitions && String(Number(match[2])) === match[2]) return;
  throw new BackupError(
    'config',
    `${whole.full} has ${partitions} partitions, and no partition ${match[2]}`,
    {
      hint: 'Name the topic, and with --to-partition one of its partitions.',
    },
  );
}
