// The time runs out while the run waits for one thing, and for ever: whatever that is, the handler ends before the
// function's limit, and the next run goes on from what was stored. At every single event: deadline-sweep.test.ts.
// @module-tag faults
import { describe, expect, it } from 'vitest';
import { withStage } from '../stage/loopback-stage.ts';
import { expectEndInTimeAndRecovery, TIME_LIMIT_MS } from './end-in-time.ts';

describe.concurrent('the handler ends in time when the broker never answers', () => {
  it.each([
    'connect',
    'partitionMetadata',
    'lookupTopic',
    'subscribe',
    'getLastMessageId',
    'flow',
    'ack',
    'closeConsumer',
  ])('%s', async (command) => {
    await withStage(async (stage) => {
      stage.publish(400);
      let seen = 0;
      const makeWell = stage.broker.onCommand((name) => {
        if (name !== command) return undefined;
        seen++;
        return 'drop';
      });
      // The acknowledgements are waited for until the last moment.
      await expectEndInTimeAndRecovery({
        stage,
        makeWell,
        timeLimitMs: command === 'ack' ? 9_000 : TIME_LIMIT_MS,
      });
      expect(seen).toBeGreaterThan(0);
    });
  });
});

describe.concurrent('the handler ends in time when COS never answers', () => {
  it.each([
    ['versioning', ''],
    ['put', '_runs/'],
    ['listUploads', ''],
  ] as const)('%s %s', async (kind, key) => {
    await withStage(async (stage) => {
      stage.publish(400);
      stage.cos.addFault({ kind, key, times: 'always', action: { type: 'hang', when: 'before-commit' } });
      await expectEndInTimeAndRecovery({ stage, makeWell: () => stage.cos.clearFaults() });
    });
  });
});
