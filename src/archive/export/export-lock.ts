// Lets one export at a time write the tables of a topic: a second one waits until the first has ended, then adds what
// is new. A lock is a note that its owner updates regularly. A waiting export takes over a lock that is no longer
// updated; it counts its own checks, so that the clocks of two machines need not agree.
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { BackupError } from '../../errors.ts';
import type { Clock } from '../../ports.ts';
import type { TopicName } from '../../topic-name.ts';
import { noteFolder } from './day-note.ts';
import { isGone, pidSpace } from './process-owner.ts';
import type { ExportTarget } from './target.ts';

const BEAT_MS = 15_000;
const LOOK_AGAIN_MS = 1_000;
/** A minute: time is counted in checks, so that changes of the clock do not matter. */
const GONE_AFTER_LOOKS = 60;

/** The tables of a topic, for one export. */
export interface ExportLock {
  /** @throws BackupError `store` where another export has taken over */
  check(): Promise<void>;
  /** Never throws. */
  release(): Promise<void>;
}

/** Who has the lock. */
interface Owner {
  readonly id: string;
  readonly host: string;
  readonly pidSpace: string;
  readonly pid: number;
  /** Grows as long as the owner lives. */
  readonly beat: number;
}

/** Ids of the locks that this process has. */
const held = new Set<string>();

/** Waits for the lock. `onWait`: somebody else has it. @throws BackupError `store`; the reason of `signal` */
export async function lockTables(
  target: ExportTarget,
  topic: TopicName,
  { clock, signal, onWait }: { clock: Clock; signal: AbortSignal; onWait: (owner: string) => void },
): Promise<ExportLock> {
  const key = `${noteFolder(topic)}lock`;
  const own: Owner = { id: randomUUID(), host: hostname(), pidSpace: pidSpace(), pid: process.pid, beat: 0 };
  const isOwn = async () => ownerOf(await target.readNote(key))?.id === own.id;
  let seen: string | undefined;
  let looks = 0;
  held.add(own.id);
  try {
    while (!(await target.createNote(key, JSON.stringify(own)))) {
      signal.throwIfAborted();
      const text = await target.readNote(key);
      if (text === undefined) continue;
      // The answer to its creation was lost.
      if (ownerOf(text)?.id === own.id) break;
      looks = text === seen ? looks + 1 : 0;
      seen = text;
      const owner = ownerOf(text);
      if (isKnownGone(owner) || looks >= GONE_AFTER_LOOKS) {
        // Another one that waits may have taken it over by now.
        if ((await target.readNote(key)) === text) await target.removeNote(key);
        continue;
      }
      onWait(owner === undefined ? 'somebody' : `process ${owner.pid} on ${owner.host}`);
      await clock.sleep(LOOK_AGAIN_MS, signal);
    }
  } catch (error) {
    held.delete(own.id);
    throw error;
  }
  let beat = 0;
  let beating: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    beating = isOwn()
      .then((own) => (own ? write() : undefined))
      // Where it stays so, another one takes over, which `check` sees.
      .catch(() => undefined);
  }, BEAT_MS);
  timer.unref();
  const write = () => target.writeNote(key, JSON.stringify({ ...own, beat: ++beat }));

  return {
    async check() {
      if (await isOwn()) return;
      throw new BackupError('store', `another export writes the tables of ${topic.full} in ${target.name}`, {
        retryable: true,
        hint: 'It took over, as this one did not move for a minute. Call the command again when it has ended: then it adds what is new.',
      });
    },
    async release() {
      clearInterval(timer);
      await beating;
      if (await isOwn().catch(() => false)) await target.removeNote(key).catch(() => undefined);
      held.delete(own.id);
    },
  };
}

function ownerOf(text: string | undefined): Owner | undefined {
  try {
    return text === undefined ? undefined : (JSON.parse(text) as Owner);
  } catch {
    return undefined;
  }
}

/** Whether its process is gone: known where its pid means the same process as here. */
const isKnownGone = (owner: Owner | undefined): boolean =>
  owner?.pidSpace === pidSpace() && (owner.pid === process.pid ? !held.has(owner.id) : isGone(owner.pid));
