// Uploads that are not finished: whose they are is judged by the clock of COS, however wrong ours is.
// @module-tag faults
import { expect, it } from 'vitest';
import { parseConfig } from '../../src/config.ts';
import { createCosStore } from '../../src/cos/store.ts';
import { silentLogger } from '../fakes/loggers.ts';
import { startRunStage } from '../stage/loopback-stage.ts';

const MINUTE_MS = 60_000;

it.each([-30, 0, 30])(
  'one of somebody who is at work is left, an old one is aborted (COS is %i minutes ahead of us)',
  async (minutes) => {
    let aheadMs = minutes * MINUTE_MS;
    const stage = await startRunStage({ cosClock: () => Date.now() + aheadMs });
    const store = createCosStore(parseConfig(stage.environment()).cos, { logger: silentLogger });
    try {
      const attributes = { metadata: {}, contentType: 'x' };
      const key = 'p/public/default/orders/date=2026-11-23/partition=0/000000000001-0000000000-00000.jsonl';
      // The first call may only teach the client the time of COS.
      await store.startUpload(key, attributes).catch(() => undefined);
      if (stage.cos.uploads().length === 0) await store.startUpload(key, attributes);
      stage.publish(20);
      aheadMs += 14 * MINUTE_MS;
      expect((await stage.run()).error).toBeUndefined();
      expect(stage.cos.uploads()).toHaveLength(1);
      aheadMs += 2 * MINUTE_MS;
      expect((await stage.run()).error).toBeUndefined();
      expect(stage.cos.uploads()).toHaveLength(0);
      stage.expectExactlyOnce();
    } finally {
      await store.close();
      await stage.close();
    }
  },
);
