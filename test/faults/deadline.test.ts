// The time runs out while the run waits for one thing, and for ever: whatever that is, the handler ends before the
// function's limit, and the next run goes on from what was stored.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Stack, startStack } from './stack.ts';

const TIME_LIMIT_MS = 6_000;

let stack: Stack;
beforeEach(async () => {
  stack = await startStack();
});
afterEach(() => stack.close());

async function expectEndInTimeAndRecovery(makeWell: () => void, timeLimitMs = TIME_LIMIT_MS): Promise<void> {
  const startedMs = performance.now();
  const { summary, error } = await stack.run({
    timeLimitMs,
    env: { FILE_MAX_MESSAGES: '60' },
  });
  expect(performance.now() - startedMs).toBeLessThan(timeLimitMs);
  expect(summary ?? error).toBeDefined();
  // What is acknowledged is stored; batches are of 10.
  expect(40 - stack.backlog()).toBeLessThanOrEqual(stack.stored().size / 10);
  makeWell();
  // Nothing lingers: an Exclusive subscription would be busy for the next run. The broker sees the end a moment later.
  await vi.waitUntil(() => stack.broker.consumers().length === 0, { timeout: 500 });
  for (let tries = 0; tries < 3 && (await stack.run()).error !== undefined; tries++);
  stack.expectExactlyOnce();
  expect(stack.backlog()).toBe(0);
}

describe('the handler ends in time when the broker never answers', () => {
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
    stack.publish(400);
    let seen = 0;
    const stop = stack.broker.onCommand((name) => {
      if (name !== command) return undefined;
      seen++;
      return 'drop';
    });
    // The acknowledgements are waited for until the last moment.
    await expectEndInTimeAndRecovery(stop, command === 'ack' ? 9_000 : TIME_LIMIT_MS);
    expect(seen).toBeGreaterThan(0);
  });
});

describe('the handler ends in time when COS never answers', () => {
  it.each([
    ['versioning', ''],
    ['put', '_runs/'],
    ['listUploads', ''],
  ] as const)('%s %s', async (kind, key) => {
    stack.publish(400);
    stack.cos.addFault({ kind, key, times: 'always', action: { type: 'hang', when: 'before-commit' } });
    await expectEndInTimeAndRecovery(() => stack.cos.clearFaults());
  });
});
