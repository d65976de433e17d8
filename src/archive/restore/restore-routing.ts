// To which partition a restored message goes.
import { BackupError } from '../../errors.ts';
import type { Message } from '../../ports.ts';

/** `auto`, `same`, `key`; or the one partition that everything goes to. */
export type Route = 'auto' | 'same' | 'key' | number;

/**
 * `auto`: the message's own partition where both topics have as many, else by key. `same`: its own partition, which
 * has to be there. `key`: by key, as Pulsar's Java client does by default; messages without one stay together by their
 * old partition. The partition of a plain topic is -1. @throws BackupError `config`
 */
export function choosePartition(
  route: Route,
  sourcePartitions: number,
  targetPartitions: number,
): (message: Pick<Message, 'id' | 'key'>) => number {
  if (typeof route === 'number') {
    if (route >= targetPartitions) throw noSuchPartition(route, targetPartitions);
    return () => route;
  }
  if (targetPartitions === 0) {
    if (route === 'same' && sourcePartitions > 0) throw tooFew(sourcePartitions, targetPartitions);
    return () => -1;
  }
  if (route === 'same' && sourcePartitions > targetPartitions)
    throw tooFew(sourcePartitions, targetPartitions);
  if (route === 'same' || (route === 'auto' && sourcePartitions === targetPartitions))
    return ({ id }) => Math.max(0, id.partition);
  return ({ id, key }) => {
    if (key === undefined) return Math.max(0, id.partition) % targetPartitions;
    const text = typeof key === 'string' ? key : Buffer.from(key).toString('base64');
    return javaStringHash(text) % targetPartitions;
  };
}

/** Java's String.hashCode without its sign, as Pulsar's JavaStringHash. */
export function javaStringHash(text: string): number {
  let hash = 0;
  for (let i = 0; i < text.length; i++) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0;
  return hash & 0x7fffffff;
}

const tooFew = (sourcePartitions: number, targetPartitions: number): BackupError =>
  new BackupError(
    'config',
    `the archive has ${sourcePartitions} partitions, the topic to restore into ${targetPartitions}`,
    { hint: 'Make a topic with as many partitions, or let messages go by key (--route key).' },
  );

const noSuchPartition = (partition: number, targetPartitions: number): BackupError =>
  new BackupError(
    'config',
    targetPartitions === 0
      ? `the topic to restore into has no partitions, so no partition ${partition}`
      : `the topic to restore into has ${targetPartitions} partitions, and no partition ${partition}`,
    {
      hint:
        targetPartitions === 0 ? 'Leave out --to-partition.' : `Partitions are 0 to ${targetPartitions - 1}.`,
    },
  );
