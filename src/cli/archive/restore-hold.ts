// Lets one process at a time run the same restore: it keeps a producer on the target topic, whose name identifies the
// restore. A broker allows a name only once, and frees it with the connection, so a killed process leaves nothing
// behind. Publishes nothing.
import { createHash } from 'node:crypto';
import type { Publisher, PublishOptions } from '../../ports.ts';
import { partitionTopic } from '../../topic-name.ts';
import type { OpenPlan } from './restore-plan.ts';

const HOLDING: PublishOptions = { compression: 'none', batching: false, windowBytes: 0, mayRepeat: false };

/**
 * Holds the restores of these plans until the publisher is closed. False where another process went on with one of them
 * since its note was read: the plan is out of date then. Call it when the schemas are registered: a topic with a producer
 * of bytes may refuse them. @throws BackupError `source` where another process is at it
 */
export async function holdRestores(
  plans: readonly OpenPlan[],
  publisher: Publisher,
  place: string,
): Promise<boolean> {
  let isAsPlanned = true;
  for (const { note, source, target, opened, schemas } of plans) {
    const what = createHash('sha256').update(`${place}\n${source.full}\n${target.full}\n${note.hash}`);
    await publisher.open(
      partitionTopic(target, opened?.partitions === 0 ? -1 : 0),
      `tdmq-restore-${what.digest('hex').slice(0, 16)}`,
      { ...HOLDING, schema: schemas?.ofProducers },
    );
    if (await note.isChanged()) isAsPlanned = false;
  }
  return isAsPlanned;
}
