// Reads a topic from an entry on, as a reader of its own on a consumer's connection. It acknowledges nothing, and nothing
// of it stays at the broker.
import { randomBytes } from 'node:crypto';
import type { Clock, EntryId } from '../../ports.ts';
import type { BrokerConsumer } from './broker-consumer.ts';
import { readStoredEntry, type StoredEntry } from './protocol/entry-decoder.ts';
import { SUBSCRIPTION_TYPE } from './protocol/tables.ts';
import { startTimer } from './timer.ts';

/** How long the reader waits for the next entry. */
const NEXT_ENTRY_TIMEOUT_MS = 1_000;
const CLOSE_TIMEOUT_MS = 2_000;

/** The topic, and the consumer that the reader shares a connection with. */
export interface TopicReaderOptions {
  readonly topic: string;
  readonly clock: Clock;
  readonly nextConsumerId: () => number;
  /** The consumer whose connection the reader shares. */
  readonly consumer: () => BrokerConsumer;
}

/**
 * Reads from `from` on, until `onEntry` returns that it has enough, or nothing has come for a second. `permits`: how many
 * entries to ask for at first. @throws BackupError `source` where the broker refuses the reader
 */
export async function readTopic(
  { topic, clock, nextConsumerId, consumer }: TopicReaderOptions,
  { from, permits }: { readonly from: EntryId; readonly permits: number },
  onEntry: (entry: StoredEntry) => boolean,
): Promise<void> {
  const reader = consumer().beside(nextConsumerId());
  let finish = (): void => undefined;
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  let cancelTimer = (): void => undefined;
  const wait = (): void => {
    cancelTimer();
    cancelTimer = startTimer(clock, NEXT_ENTRY_TIMEOUT_MS, finish);
  };
  let hasEnough = false;
  await reader.subscribe(
    {
      topic,
      subscription: `tdmq-backup-look-${randomBytes(4).toString('hex')}`,
      consumerName: 'tdmq-backup-look',
      subType: SUBSCRIPTION_TYPE.Exclusive,
      initialPosition: 'earliest',
      startAt: from,
    },
    {
      onEntry: (id, bytes) => {
        if (hasEnough) return;
        const entry = readStoredEntry(id, bytes);
        hasEnough = onEntry(entry);
        if (hasEnough) finish();
        else {
          reader.grantPermits(Math.max(1, entry.permits));
          wait();
        }
      },
      onActiveChange: () => undefined,
      onEndOfTopic: () => undefined,
      onClosedByBroker: () => finish(),
      onConnectionLost: () => finish(),
      onFault: () => finish(),
    },
  );
  wait();
  reader.grantPermits(permits);
  await finished;
  cancelTimer();
  await reader.close(CLOSE_TIMEOUT_MS);
}
