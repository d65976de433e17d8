// COS fails, call by call, below the whole product: what is recoverable is repeated within the run, the rest fails the
// invocation; nothing is acknowledged that is not durable; after one undisturbed run every message is in one object.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Fault } from '../../src/local/cos/faults.ts';
import { type Stack, startStack } from './stack.ts';

let stack: Stack;
beforeEach(async () => {
  stack = await startStack();
});
afterEach(() => stack.close());

const status = (code: number, xml?: string): Fault['action'] =>
  xml === undefined ? { type: 'status', status: code } : { type: 'status', status: code, code: xml };

/** Struck twice, where that makes sense, and then well again. */
const RECOVERED: Record<string, Fault['action']> = {
  '503 SlowDown': status(503, 'SlowDown'),
  '429': status(429),
  '500': status(500, 'InternalError'),
  'a 502 page of a proxy': { type: 'status', status: 502, body: 'html' },
  'a reset before the commit': { type: 'reset', when: 'before-commit' },
  'an answer lost after the commit': { type: 'reset', when: 'after-commit' },
  'a 500 after the commit': { type: 'status', status: 500, when: 'after-commit' },
  'no answer at all': { type: 'hang', when: 'before-commit' },
  'no answer after the commit': { type: 'hang', when: 'after-commit' },
};

const FATAL: Record<string, [Fault['action'], RegExp]> = {
  '403 AccessDenied': [{ type: 'error', code: 'AccessDenied' }, /polic|role|permission/i],
  'an expired token': [{ type: 'error', code: 'ExpiredToken' }, /credential|token|key/i],
  'a bucket that is gone': [{ type: 'error', code: 'NoSuchBucket' }, /COS_BUCKET|COS_REGION/],
};

/** Files of one PUT, and files of several parts. */
const SIZES = [
  { name: 'a file of one PUT', count: 60, bytes: 100, kinds: ['put'] },
  { name: 'a file of several parts', count: 200, bytes: 100_000, kinds: ['init', 'part', 'complete'] },
] as const;

for (const { name, count, bytes, kinds } of SIZES) {
  for (const kind of kinds) {
    describe(`${name}: ${kind}`, () => {
      for (const [fault, action] of Object.entries(RECOVERED)) {
        it(`is repeated within the run after ${fault}`, async () => {
          stack.publish(count, { bytes });
          stack.cos.addFault({ kind, times: 2, action, key: 'jsonl' });
          const { summary, error } = await stack.run();
          expect(error).toBeUndefined();
          expect(summary).toMatchObject({ messages: count, alreadyStored: 0 });
          stack.expectExactlyOnce();
          expect(stack.backlog()).toBe(0);
          if (kind !== 'init') expect(stack.cos.uploads()).toEqual([]);
        });
      }

      for (const [fault, [action, hint]] of Object.entries(FATAL)) {
        it(`fails the run with what to do after ${fault}, and acknowledges nothing that is not stored`, async () => {
          stack.publish(count, { bytes });
          stack.cos.addFault({ kind, times: 'always', action, key: 'jsonl' });
          const { error, lines } = await stack.run();
          expect(error).toMatchObject({ code: 'store', retryable: false, hint: expect.stringMatching(hint) });
          expect(lines.at(-1)).toMatchObject({ message: 'run failed', level: 'error', errorCode: 'store' });
          // Where only large files are refused, the end of another partition may be stored as a small one.
          const missing = count - stack.stored().size;
          expect(missing).toBeGreaterThan(count / 3);
          expect(stack.backlog()).toBe(missing / 10);
          stack.cos.clearFaults();
          expect((await stack.run()).summary).toMatchObject({ messages: missing });
          stack.expectExactlyOnce();
          expect(stack.cos.uploads()).toEqual([]);
        });
      }
    });
  }
}

describe('an answer that says less than it should', () => {
  it.each([
    ['put', { type: 'no-etag' }, 60, 100],
    ['part', { type: 'no-etag' }, 200, 100_000],
    ['complete', { type: 'error-in-200' }, 200, 100_000],
    ['complete', { type: 'empty-body' }, 200, 100_000],
    ['complete', { type: 'spaces-first' }, 200, 100_000],
    ['put', { type: 'no-crc' }, 60, 100],
    ['complete', { type: 'no-crc' }, 200, 100_000],
  ] as const)(
    '%s %j: is not believed, and everything is in one object in the end',
    async (kind, action, count, bytes) => {
      stack.publish(count, { bytes });
      stack.cos.addFault({ kind, action, key: 'jsonl' });
      const first = await stack.run();
      if (first.error !== undefined) await stack.run();
      stack.expectExactlyOnce();
      expect(stack.backlog()).toBe(0);
    },
  );

  it.each([
    ['put', 60, 100],
    ['complete', 200, 100_000],
  ] as const)(
    'a wrong checksum in the answer to %s fails the run, and nothing is acknowledged',
    async (kind, count, bytes) => {
      stack.publish(count, { bytes });
      stack.cos.addFault({
        kind: [kind, 'head'],
        times: 'always',
        action: { type: 'wrong-crc' },
        key: 'jsonl',
      });
      const { error } = await stack.run();
      expect(error?.message).toMatch(/CRC-64|checksum/i);
      expect(stack.backlog()).toBe(count / 10);
    },
  );
});

describe('in the middle of a run', () => {
  it('a refusal keeps the files before it, acknowledged, and the next run stores the rest', async () => {
    stack.publish(600);
    stack.cos.addFault({
      kind: 'put',
      nth: 4,
      times: 'always',
      action: { type: 'error', code: 'AccessDenied' },
    });
    const { error } = await stack.run({ env: { FILE_MAX_MESSAGES: '50' } });
    expect(error?.code).toBe('store');
    expect(stack.stored().size).toBe(150);
    expect(stack.backlog()).toBe(45);
    stack.cos.clearFaults();
    await stack.run();
    stack.expectExactlyOnce();
    expect(stack.backlog()).toBe(0);
  });

  it('an outage of everything fails the run within the tries, and loses nothing', async () => {
    stack.publish(100);
    stack.cos.addFault({ times: 'always', action: status(503, 'SlowDown') });
    const { error } = await stack.run();
    expect(error).toMatchObject({ code: 'store', retryable: true });
    expect(stack.backlog()).toBe(10);
    stack.cos.clearFaults();
    await stack.run();
    stack.expectExactlyOnce();
  }, 60_000);

  it('a manifest that cannot be stored fails the run, with the messages stored and acknowledged', async () => {
    stack.publish(100);
    stack.cos.addFault({
      kind: 'put',
      key: '_runs/',
      times: 'always',
      action: { type: 'error', code: 'AccessDenied' },
    });
    const { error } = await stack.run();
    expect(error?.code).toBe('store');
    stack.expectExactlyOnce();
    expect(stack.backlog()).toBe(0);
  });
});

describe('when time runs out', () => {
  it.each(['put', 'init', 'part', 'complete'] as const)(
    'while %s hangs beyond the deadline, the handler returns before its limit and acknowledges nothing of it',
    async (kind) => {
      const [count, bytes] = kind === 'put' ? [60, 100] : [200, 100_000];
      stack.publish(count, { bytes });
      stack.cos.addFault({
        kind,
        times: 'always',
        action: { type: 'hang', when: 'before-commit' },
        key: 'jsonl',
      });
      const startedAt = Date.now();
      const { error } = await stack.run({ timeLimitMs: 4_000, env: { RUN_RESERVE_SECONDS: '2' } });
      expect(Date.now() - startedAt).toBeLessThan(4_000);
      expect(error?.code).toBe('store');
      expect(stack.backlog()).toBe(count / 10);
      stack.cos.clearFaults();
      await stack.run();
      stack.expectExactlyOnce();
    },
  );
});
