// A run that waits for something in vain, and how it has to end.
import { expect, vi } from 'vitest';
import type { RunStage } from '../stage/loopback-stage.ts';

/** Of a run that is to end by itself. */
export const TIME_LIMIT_MS = 6_000;
const SPEED = 3;

interface Case {
  readonly stage: RunStage;
  readonly timeLimitMs?: number;
  /** Whether the time-outs of single calls are as long as in the deployed function, and so longer than the whole run. */
  readonly isPatient?: boolean;
  readonly makeWell: () => void;
}

/** Fails unless a run that waits in vain ends before its limit, acknowledges nothing unstored, and others go on. */
export async function expectEndInTimeAndRecovery({
  stage,
  makeWell,
  isPatient,
  timeLimitMs,
}: Case): Promise<void> {
  const limitMs = timeLimitMs ?? TIME_LIMIT_MS;
  const published = stage.backlog();
  const { summary, error, tookMs } = await stage.run({
    timeLimitMs: limitMs,
    isPatient: isPatient ?? false,
    speed: SPEED,
    env: { FILE_MAX_MESSAGES: '60' },
  });
  expect(tookMs).toBeLessThan(limitMs);
  expect(summary ?? error).toBeDefined();
  // What is acknowledged is stored; batches are of 10.
  expect(published - stage.backlog()).toBeLessThanOrEqual(stage.stored().size / 10);
  makeWell();
  // Nothing lingers: an Exclusive subscription would be busy for the next run. The broker sees the end a moment later.
  await vi.waitUntil(() => stage.broker.consumers().length === 0, { timeout: 20_000 });
  // On a machine that is busy the time of one run may be over before all is stored. It says so.
  const isCaughtUp = async () => (await stage.run()).summary?.stopReason === 'caught_up';
  for (let tries = 0; tries < 3 && !(await isCaughtUp()); tries++);
  stage.expectExactlyOnce();
  expect(stage.backlog()).toBe(0);
}
