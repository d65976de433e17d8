// Sends the acknowledgements that an AckPlan has for entries.
import type { EntryId } from '../../ports.ts';
import type { AckPlan } from './ack-plan.ts';
import type { BrokerConsumer } from './broker-consumer.ts';

/** Acknowledges `entries`; resolves when the broker has it. @throws BackupError `source` */
export async function acknowledge(
  consumer: BrokerConsumer,
  acks: AckPlan,
  entries: readonly EntryId[],
): Promise<void> {
  const steps = acks.steps(entries);
  // From the end: so the first message of an object stays unacknowledged, and leads to it, until the whole object is
  // acknowledged.
  await consumer.acknowledgeEach([...steps.individual].reverse());
  if (steps.cumulative !== undefined) await consumer.acknowledgeUpTo(steps.cumulative);
  acks.acknowledged(entries, steps);
  if (acks.waitsForHole(steps)) askWhereItIs(consumer, acks);
}

/** The hole may be without messages: then the broker has closed it. */
function askWhereItIs(consumer: BrokerConsumer, acks: AckPlan): void {
  consumer.lastPositions().then(
    ({ acknowledged }) => {
      if (acknowledged !== undefined) acks.closed(acknowledged);
    },
    () => undefined,
  );
}
