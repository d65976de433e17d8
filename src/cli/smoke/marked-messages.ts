// The messages that `smoke` publishes: each has a property that no other message has, and a text that says what it is.
import { randomUUID } from 'node:crypto';
import type { PulsarConfig } from '../../config.ts';
import { BackupError } from '../../errors.ts';
import { untilAborted } from '../../lib/until-aborted.ts';
import type { Clock, Publisher } from '../../ports.ts';
import { createWirePublisher } from '../../pulsar/wire/producer-publisher.ts';
import { partitionTopic } from '../../topic-name.ts';
import { MARK_PROPERTY, type Traces } from './traces.ts';

/** Which of them it is. */
export const NUMBER_PROPERTY = 'tdmq-backup-smoke-number';

const MIN_MESSAGES = 3;
const MAX_MESSAGES = 16;
const WINDOW_BYTES = 1_048_576;
const PUBLISH_TIMEOUT_MS = 30_000;

/** A mark that no other call of the command has. */
export const newMark = (): string => randomUUID();

/** The payload of a marked message, by its number. */
export const markedText = (mark: string, number: number): string =>
  `tdmq-backup smoke test ${mark}, message ${number}: it can be ignored`;

/**
 * Publishes marked messages to all partitions in turn, at most 16, and counts them in `traces` as the broker confirms
 * them. `clock` gives their publish times. @throws BackupError `source` where it did not confirm all of them
 */
export async function publishMarked(
  config: PulsarConfig,
  traces: Traces,
  signal: AbortSignal,
  clock: Clock,
): Promise<void> {
  const ending = AbortSignal.any([signal, AbortSignal.timeout(PUBLISH_TIMEOUT_MS)]);
  const publisher = createWirePublisher({ config, clock, signal: ending });
  const noAnswer = () =>
    new BackupError('source', `the broker did not confirm within ${PUBLISH_TIMEOUT_MS / 1_000} s`, {
      retryable: true,
      hint: 'The access address of a cluster is private: run this inside its VPC. See `tdmq-backup check`.',
    });
  try {
    await untilAborted(publishAll(publisher, config, traces), ending, noAnswer);
  } finally {
    await publisher.close();
  }
}

async function publishAll(publisher: Publisher, { topic }: PulsarConfig, traces: Traces): Promise<void> {
  const partitions = await publisher.partitions(topic);
  const count = Math.min(MAX_MESSAGES, Math.max(MIN_MESSAGES, partitions));
  const numbers = Array.from({ length: count }, (_, i) => i + 1);
  const places = partitions === 0 ? [-1] : Array.from({ length: Math.min(partitions, count) }, (_, i) => i);
  for (const [at, partition] of places.entries()) {
    const own = numbers.filter((number) => (number - 1) % places.length === at);
    const producer = await publisher.open(
      partitionTopic(topic, partition),
      `${MARK_PROPERTY}-${traces.mark}-${at}`,
      { batching: false, compression: 'none', windowBytes: WINDOW_BYTES, mayRepeat: false },
    );
    for (const number of own) {
      traces.unconfirmed++;
      await producer.send({
        sequenceId: number,
        key: MARK_PROPERTY,
        orderingKey: undefined,
        properties: [
          [MARK_PROPERTY, traces.mark],
          [NUMBER_PROPERTY, String(number)],
        ],
        eventTimeMs: undefined,
        payload: Buffer.from(markedText(traces.mark, number)),
      });
    }
    await producer.flush();
    traces.unconfirmed -= own.length;
    traces.messages += own.length;
    await producer.close();
  }
}
