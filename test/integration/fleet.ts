// Instances of one rule's function beside each other, as SCF runs them: each the packaged function in a process of its
// own, over an emulated runtime of its own. Knows no broker and no bucket.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as after } from 'node:timers/promises';
import { startInstance, startScfRuntime, timerEvent } from '../../src/local/scf-runtime.ts';
import { bundleFunction } from '../../src/packaging/bundle.ts';
import { collectFunction, writePackage } from '../../src/packaging/function-package.ts';
import { packageRoot } from '../../src/packaging/package-root.ts';
import type { Summary } from './invoke.ts';

interface FleetInstance {
  /** Gives it an event, after `delayMs`. No summary: the run failed, or the instance was killed. */
  tick(delayMs?: number): Promise<Summary | undefined>;
  /** What it has written so far. */
  lines(): readonly string[];
  kill9(): void;
}

export interface Fleet {
  /** Starts an instance with the rule's environment; resolves when it waits for an event. */
  start(env: Readonly<Record<string, string>>, onLine?: (line: string) => void): Promise<FleetInstance>;
  /** Ends every instance. */
  close(): Promise<void>;
}

const TIME_LIMIT_MS = 120_000;

/** Packs the function once for all instances. */
export async function openFleet(memoryMb = 512): Promise<Fleet> {
  const root = packageRoot(import.meta.url);
  const dir = await mkdtemp(join(tmpdir(), 'tdmq-backup-fleet-'));
  const folder = join(dir, 'function');
  await bundleFunction(root, folder);
  writePackage(folder, collectFunction(root, folder));
  const ends: (() => Promise<void>)[] = [];

  return {
    async start(env, onLine) {
      const runtime = await startScfRuntime();
      const instance = startInstance({
        folder,
        env: { ...env, ...runtime.env },
        ...(onLine === undefined ? {} : { onLine }),
      });
      instance.ended.then(runtime.loseInstance, runtime.loseInstance);
      ends.push(async () => {
        instance.child.kill('SIGKILL');
        await instance.ended;
        await runtime.close();
      });
      await Promise.race([runtime.ready, instance.ended]);
      return {
        async tick(delayMs = 0) {
          await after(delayMs);
          const { kind, body } = await runtime.invoke({
            event: timerEvent('every-5-minutes'),
            timeLimitMs: TIME_LIMIT_MS,
            memoryMb,
          });
          return kind === 'response' ? (JSON.parse(body) as Summary) : undefined;
        },
        lines: () => instance.lines,
        kill9: () => void instance.child.kill('SIGKILL'),
      };
    },
    async close() {
      await Promise.all(ends.map((end) => end()));
      await rm(dir, { recursive: true, force: true });
    },
  };
}
