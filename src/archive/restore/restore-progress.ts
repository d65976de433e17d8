// What a restore has published, as far as the broker's receipts show, and when that is written down. Whatever is not
// written down may be published again by a restore that goes on after a kill, so that is never much: when too much of it
// is under way, publishing waits for the writing.
import type { Clock, TopicProducer } from '../../ports.ts';

/** For each partition of the archive and each of the topic: the last sequence id that the broker has. */
export type Acknowledged = Record<string, Record<string, number>>;

const SAVE_EVERY_MS = 500;
/** Written down after so much was published; twice as much is published without that, at most. */
export const SAVE_EVERY_BYTES = 16 * 1_048_576;

export interface RestoreProgress {
  /** What the producers of this partition of the archive have receipts for belongs to the progress. */
  track(source: string, producers: ReadonlyMap<number, TopicProducer>): void;
  /** Counts what was handed to a producer. A promise: wait for it before the next. @throws what `save` throws */
  sent(bytes: number): Promise<void> | undefined;
  /** Writes down how far it is, where anything was tracked. @throws what `save` throws */
  finish(): Promise<void>;
}

/** Begins with `before`. `save` is called after so many bytes at the latest, never side by side. */
export function createProgress(
  before: Acknowledged,
  save: (acknowledged: Acknowledged) => Promise<void>,
  clock: Clock,
  saveEveryBytes = SAVE_EVERY_BYTES,
): RestoreProgress {
  const tracked: { source: string; producers: ReadonlyMap<number, TopicProducer> }[] = [];
  const acknowledged: Acknowledged = structuredClone(before);
  let lastMs = clock.now();
  let unsavedBytes = 0;
  let saving: Promise<void> | undefined;
  let failure: unknown;

  function collect(): Acknowledged {
    for (const { source, producers } of tracked) {
      for (const [to, { acknowledgedSequenceId }] of producers) {
        if (acknowledgedSequenceId < 0) continue;
        acknowledged[source] ??= {};
        const targets = acknowledged[source];
        targets[to] = Math.max(targets[to] ?? -1, acknowledgedSequenceId);
      }
    }
    return structuredClone(acknowledged);
  }

  async function saveNow(): Promise<void> {
    const bytes = unsavedBytes;
    try {
      await save(collect());
      unsavedBytes -= bytes;
    } catch (error) {
      failure ??= error;
    } finally {
      saving = undefined;
      lastMs = clock.now();
    }
  }

  return {
    track(source, producers) {
      tracked.push({ source, producers });
    },
    sent(bytes) {
      if (failure !== undefined) throw failure;
      unsavedBytes += bytes;
      const isDue = unsavedBytes >= saveEveryBytes || clock.now() - lastMs >= SAVE_EVERY_MS;
      if (isDue) saving ??= saveNow();
      return unsavedBytes >= 2 * saveEveryBytes ? saving : undefined;
    },
    async finish() {
      await saving;
      if (tracked.length > 0) await save(collect());
    },
  };
}
