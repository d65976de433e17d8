// COS fails in mid-run, for long, or until the time is over: nothing is acknowledged that is not durable, and after
// one undisturbed run every message is in one object. Call by call: cos-matrix.test.ts.
// @module-tag faults
import { describe, expect } from 'vitest';
import { scaledClock } from '../pulsar/scaled-clock.ts';
import { itWithStage } from '../stage/loopback-stage.ts';

const it = itWithStage();
/** What of one partition is stored in two parts. */
const LARGE = { count: 20, bytes: 60_000 };
const itWithOnePartition = itWithStage({ partitions: 1 });

describe('an answer that is no answer to a Complete', () => {
  itWithOnePartition.for([
    { type: 'empty-body' },
    { type: 'spaces-first' },
    { type: 'spaces-first', ending: 'error' },
  ] as const)(
    '%j: is not believed, and everything is in one object in the end',
    async (action, { stage }) => {
      stage.publish(LARGE.count, LARGE);
      stage.cos.addFault({ kind: 'complete', action, key: 'jsonl' });
      expect((await stage.run()).error).toBeUndefined();
      stage.expectExactlyOnce();
      expect(stage.backlog()).toBe(0);
    },
  );
});

describe('in the middle of a run', () => {
  it('a refusal keeps the files before it, acknowledged, and the next run stores the rest', async ({
    stage,
  }) => {
    stage.publish(600);
    stage.cos.addFault({
      kind: 'put',
      nth: 4,
      times: 'always',
      action: { type: 'error', code: 'AccessDenied' },
    });
    const { error } = await stage.run({ env: { FILE_MAX_MESSAGES: '50' } });
    expect(error?.code).toBe('store');
    expect(stage.stored().size).toBe(150);
    expect(stage.backlog()).toBe(45);
    stage.cos.clearFaults();
    await stage.run();
    stage.expectExactlyOnce();
    expect(stage.backlog()).toBe(0);
  });

  it('an outage of everything fails the run within the tries, and loses nothing', async ({ stage }) => {
    stage.publish(100);
    stage.cos.addFault({ times: 'always', action: { type: 'status', status: 503, code: 'SlowDown' } });
    const { error } = await stage.run();
    expect(error).toMatchObject({ code: 'store', retryable: true });
    expect(stage.backlog()).toBe(10);
    stage.cos.clearFaults();
    await stage.run();
    stage.expectExactlyOnce();
  }, 60_000);

  it('a manifest that cannot be stored fails the run, with the messages stored and acknowledged', async ({
    stage,
  }) => {
    stage.publish(100);
    stage.cos.addFault({
      kind: 'put',
      key: '_runs/',
      times: 'always',
      action: { type: 'error', code: 'AccessDenied' },
    });
    const { error } = await stage.run();
    expect(error?.code).toBe('store');
    stage.expectExactlyOnce();
    expect(stage.backlog()).toBe(0);
  });
});

describe('when time runs out', () => {
  itWithOnePartition.for(['put', 'init', 'part', 'complete'] as const)(
    'while %s hangs beyond the deadline, the handler returns before its limit and acknowledges nothing of it',
    async (kind, { stage }) => {
      const { count, bytes } = kind === 'put' ? { count: 60, bytes: 100 } : LARGE;
      stage.publish(count, { bytes });
      stage.cos.addFault({
        kind,
        times: 'always',
        action: { type: 'hang', when: 'before-commit' },
        key: 'jsonl',
      });
      const { error, tookMs } = await stage.run({ timeLimitMs: 4_000, env: { RUN_RESERVE_SECONDS: '2' } });
      expect(tookMs).toBeLessThan(4_000);
      expect(error?.code).toBe('store');
      expect(stage.backlog()).toBe(count / 10);
      stage.cos.clearFaults();
      await stage.run();
      stage.expectExactlyOnce();
    },
  );

  itWithStage({ partitions: 16 })(
    'while COS is slow and many files wait in line, every run leaves its manifest and the next goes on',
    async ({ stage: slow }) => {
      slow.publish(16 * 150);
      // How long a request takes to COS, on the clock of the run; nothing is waited for.
      const clock = scaledClock(1);
      slow.cos.setOnRequest(() => clock.sleep(300));
      const env = { RUN_RESERVE_SECONDS: '2', FILE_MAX_MESSAGES: '10' };
      const { summary, error, lines } = await slow.run({ timeLimitMs: 6_000, env, isPatient: true, clock });
      expect(error).toBeUndefined();
      expect(summary).toMatchObject({ stopReason: 'deadline' });
      expect(lines.filter(({ level }) => level === 'warn')).toEqual([]);
      const manifest = slow.cos.objects().find(({ key }) => key.includes('_runs/'));
      const listed = JSON.parse(slow.cos.object(manifest?.key ?? '')?.bytes.toString() ?? '').storedObjects;
      expect(listed.map(({ key }: { key: string }) => key).sort()).toEqual(
        slow.cos.objects().flatMap(({ key }) => (key.includes('.jsonl') ? [key] : [])),
      );
      expect(listed.length * 10).toBe(16 * 150 - slow.backlog() * 10);
      slow.cos.setOnRequest(undefined);
      await slow.run();
      slow.expectExactlyOnce();
      expect(slow.backlog()).toBe(0);
    },
  );
});
