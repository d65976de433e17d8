// SCF freezes an instance between invocations and thaws it for the next one: its sockets are dead by then, and its
// credentials have changed. Nothing of one invocation may be in the next. Run `npm run build` first.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { startRunStage } from '../stage/loopback-stage.ts';

it.each(['none', 'zstd'])(
  'a frozen and thawed instance (compression %s) starts clean, with fresh credentials, and nothing keeps it alive afterwards',
  async (compression) => {
    const stage = await startRunStage();
    const child = fork(join(import.meta.dirname, 'invoke-twice.cjs'), {
      env: stage.environment({
        FILE_COMPRESSION: compression,
        LOG_LEVEL: 'error',
        TENCENTCLOUD_SECRETKEY: 'those-of-yesterday',
      }),
      execArgv: [],
    });
    const ended = once(child, 'exit');
    const invoke = async (env: Record<string, string>) => {
      const answer = once(child, 'message');
      child.send({ env, context: { request_id: 'r', time_limit_in_ms: 30_000, memory_limit_in_mb: 256 } });
      return (await answer)[0] as { stopReason: string; messages?: number };
    };
    try {
      stage.publish(200);
      expect((await invoke({})).stopReason).toMatch(/BackupError/);
      expect(stage.backlog()).toBe(20);
      const fresh = { TENCENTCLOUD_SECRETKEY: stage.environment()['TENCENTCLOUD_SECRETKEY'] as string };
      expect(await invoke(fresh)).toMatchObject({ stopReason: 'caught_up', messages: 200 });

      child.kill('SIGSTOP');
      stage.publish(200);
      await stage.broker.stop();
      await stage.broker.start();
      child.kill('SIGCONT');
      expect(await invoke({})).toMatchObject({ stopReason: 'caught_up', messages: 200 });
      expect(stage.backlog()).toBe(0);
      // The stage reads no zstd; runtime.test.ts reads back what this thread writes.
      if (compression !== 'zstd') stage.expectExactlyOnce();
      expect(stage.broker.connections()).toEqual([]);

      const returnedMs = performance.now();
      child.disconnect();
      expect((await ended)[0]).toBe(0);
      expect(performance.now() - returnedMs).toBeLessThan(1_000);
    } finally {
      child.kill('SIGKILL');
      await stage.close();
    }
  },
);
