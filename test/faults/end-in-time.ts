// A run that waits for something in vain, and how it has to end.
import { expect, vi } from 'vitest';
import { type Stack, startStack } from './stack.ts';

/** Of a run that is to end by itself. */
export const TIME_LIMIT_MS = 6_000;

interface Case {
  readonly stack: Stack;
  readonly timeLimitMs?: number;
  /** Whether the time-outs of single calls are as long as in the deployed function, and so longer than the whole run. */
  readonly isPatient?: boolean;
  readonly makeWell: () => void;
}

/** Fails unless a run that waits in vain ends before its limit, acknowledges nothing unstored, and others go on. */
export async function expectEndInTimeAndRecovery({
  stack,
  makeWell,
  isPatient,
  timeLimitMs,
}: Case): Promise<void> {
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

/** Does something with a stack of its own. */
export async function withStack(work: (stack: Stack) => Promise<void>): Promise<void> {
  const stack = await startStack();
  try {
    await work(stack);
  } finally {
    await stack.close();
  }
}
