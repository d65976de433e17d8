// The time runs out while the run waits for one thing, and for ever: whatever that is, the handler ends before the
// function's limit, and the next run goes on from what was stored.
import { describe, expect, it, vi } from 'vitest';
import { type Stack, startStack } from './stack.ts';

const TIME_LIMIT_MS = 6_000;
/** Runs at a time; they only wait. */
const SIDE_BY_SIDE = 12;

interface Case {
  readonly stack: Stack;
  readonly timeLimitMs?: number;
  /** Whether the time-outs of single calls are as long as in the deployed function, and so longer than the whole run. */
  readonly isPatient?: boolean;
  readonly makeWell: () => void;
}

async function expectEndInTimeAndRecovery({ stack, makeWell, isPatient, timeLimitMs }: Case): Promise<void> {
  const limitMs = timeLimitMs ?? TIME_LIMIT_MS;
  const published = stack.backlog();
  const startedMs = performance.now();
  const { summary, error } = await stack.run({
    timeLimitMs: limitMs,
    isPatient: isPatient ?? false,
    env: { FILE_MAX_MESSAGES: '60' },
  });
  expect(performance.now() - startedMs).toBeLessThan(limitMs);
  expect(summary ?? error).toBeDefined();
  // What is acknowledged is stored; batches are of 10.
  expect(published - stack.backlog()).toBeLessThanOrEqual(stack.stored().size / 10);
  makeWell();
  // Nothing lingers: an Exclusive subscription would be busy for the next run. The broker sees the end a moment later.
  await vi.waitUntil(() => stack.broker.consumers().length === 0, { timeout: 5_000 });
  // On a machine that is busy the time of one run may be over before all is stored. It says so.
  const isCaughtUp = async () => (await stack.run()).summary?.stopReason === 'caught_up';
  for (let tries = 0; tries < 3 && !(await isCaughtUp()); tries++);
  stack.expectExactlyOnce();
  expect(stack.backlog()).toBe(0);
}

async function withStack(work: (stack: Stack) => Promise<void>): Promise<void> {
  const stack = await startStack();
  try {
    await work(stack);
  } finally {
    await stack.close();
  }
}

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
    await withStack(async (stack) => {
      stack.publish(400);
      let seen = 0;
      const makeWell = stack.broker.onCommand((name) => {
        if (name !== command) return undefined;
        seen++;
        return 'drop';
      });
      // The acknowledgements are waited for until the last moment.
      await expectEndInTimeAndRecovery({
        stack,
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
    await withStack(async (stack) => {
      stack.publish(400);
      stack.cos.addFault({ kind, key, times: 'always', action: { type: 'hang', when: 'before-commit' } });
      await expectEndInTimeAndRecovery({ stack, makeWell: () => stack.cos.clearFaults() });
    });
  });
});

/** Counts what COS and the broker see and say, and silences some of it. */
function listen(
  stack: Stack,
  silence: (nth: number, isAnswer: boolean) => boolean,
): { count(): number; stop(): void } {
  let count = 0;
  const pass = (isAnswer: boolean) => (silence(++count, isAnswer) ? 'drop' : undefined);
  const stops = [stack.broker.onCommand(() => pass(false)), stack.broker.onAnswer(() => pass(true))];
  let letGo = () => {};
  const going = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  stack.cos.setOnRequest(() => (pass(false) === 'drop' ? going : undefined));
  return {
    count: () => count,
    stop() {
      for (const stop of stops) stop();
      stack.cos.setOnRequest(undefined);
      letGo();
    },
  };
}

describe.concurrent('the handler ends in time, whenever it is', () => {
  it.each([
    // The waits of the deployed function are longer than this run: only its end can end them.
    ['that nobody answers any more', true, (at: number) => (nth: number) => nth >= at],
    [
      'that a single request is not answered',
      false,
      (at: number) => (nth: number, isAnswer: boolean) => nth === at && !isAnswer,
    ],
  ] as const)(
    '%s',
    async (_when, isPatient, silenceAt) => {
      let events = 0;
      const publish = (stack: Stack) => stack.publish(160);
      await withStack(async (stack) => {
        publish(stack);
        const listener = listen(stack, () => false);
        await stack.run({ env: { FILE_MAX_MESSAGES: '60' } });
        events = listener.count();
        listener.stop();
      });
      expect(events).toBeGreaterThan(40);
      let at = 0;
      const workers = Array.from({ length: SIDE_BY_SIDE }, async () => {
        while (at < events) {
          const n = ++at;
          await withStack(async (stack) => {
            publish(stack);
            const listener = listen(stack, silenceAt(n));
            await expectEndInTimeAndRecovery({ stack, isPatient, makeWell: listener.stop });
          }).catch((error: unknown) => {
            throw new Error(`at event ${n} of ${events}`, { cause: error });
          });
        }
      });
      await Promise.all(workers);
    },
    180_000,
  );
});
