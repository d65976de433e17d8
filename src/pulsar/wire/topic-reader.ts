// Reads a topic from an entry on, as a reader of its own on a consumer's connection. It acknowledges nothing, and nothing
// of it stays at the broker.
import { randomBytes } from 'node:crypto';
import { BackupError } from '../../errors.ts';
import type { Clock, EntryId } from '../../ports.ts';
import type { BrokerConsumer } from './broker-consumer.ts';
import { readStoredEntry, type StoredEntry } from './protocol/entry-decoder.ts';
import { SUBSCRIPTION_TYPE } from './protocol/tables.ts';
import { startTimer } from './timer.ts';

/** How long the reader waits for the next entry. */
const NEXT_ENTRY_TIMEOUT_MS = 1_000;
/** It waits so many times more at most, where its connection brings entries for others, behind which its own may be. */
const MAX_TIMEOUTS_BESIDE = 3;
const ANSWER_TIMEOUT_MS = 5_000;
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
 * entries to ask for at first. False: the broker or the connection ended the reader before that, or answers no more.
 * @throws BackupError `source` where the broker refuses the reader
 */
export async function readTopic(
  { topic, clock, nextConsumerId, consumer }: TopicReaderOptions,
  { from, permits }: { readonly from: EntryId; readonly permits: number },
  onEntry: (entry: StoredEntry) => boolean,
): Promise<boolean> {
  const reader = consumer().beside(nextConsumerId());
  let isFinished = false;
  let finish: (isReadThrough: boolean) => void = () => undefined;
  const finished = new Promise<boolean>((resolve) => {
    finish = (isReadThrough) => {
      isFinished = true;
      resolve(isReadThrough);
    };
  });
  let cancelTimer = (): void => undefined;
  let timeouts = 0;
  const wait = (): void => {
    cancelTimer();
    const before = reader.entriesOnConnection;
    cancelTimer = startTimer(clock, NEXT_ENTRY_TIMEOUT_MS, () => {
      // This process may be late itself: the answer comes behind all that the broker has sent and nobody has read yet.
      void hasAnswered(reader).then((hasIt) => {
        if (isFinished) return;
        const isQuiet = reader.entriesOnConnection === before;
        if (!hasIt || isQuiet || timeouts++ >= MAX_TIMEOUTS_BESIDE) finish(hasIt);
        else wait();
      });
    });
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
        const entry = readStoredEntry(id, Buffer.from(bytes));
        hasEnough = onEntry(entry);
        timeouts = 0;
        if (hasEnough) finish(true);
        else {
          reader.grantPermits(Math.max(1, entry.permits));
          wait();
        }
      },
      onActiveChange: () => undefined,
      onEndOfTopic: () => undefined,
      onClosedByBroker: () => finish(false),
      onConnectionLost: () => finish(false),
      onFault: () => finish(false),
    },
  );
  wait();
  reader.grantPermits(permits);
  const isReadThrough = await finished;
  cancelTimer();
  await reader.close(CLOSE_TIMEOUT_MS);
  return isReadThrough;
}

/** Whether the broker answers a question, be it with a refusal. */
const hasAnswered = (reader: BrokerConsumer): Promise<boolean> =>
  reader.lastPositions(ANSWER_TIMEOUT_MS).then(
    () => true,
    (error) => error instanceof BackupError && error.details['serverError'] !== undefined,
  );
