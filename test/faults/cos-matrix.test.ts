// Every kind of call × every way to fail, below the whole product: what is recoverable is repeated within the run, the
// rest fails the invocation. Nothing is acknowledged that is not durable, and the next run makes everything good.
// @module-tag faults
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config.ts';
import { createCosStore } from '../../src/cos/store.ts';
import type { CosErrorCode } from '../../src/local/cos/cos-error.ts';
import type { FaultAction } from '../../src/local/cos/fault-plan.ts';
import { keepingLogger } from '../fakes/loggers.ts';
import { type RunStage, startRunStage } from '../stage/loopback-stage.ts';

const MINUTE_MS = 60_000;

/** A stage whose COS may have another time. */
interface Stage extends RunStage {
  cosOffsetMs: number;
}

interface Work {
  readonly count: number;
  readonly bytes: number;
  /** Brings about that the run makes such a call, where it would not by itself. */
  readonly prepare?: (stage: Stage) => void | Promise<void>;
}

const SMALL: Work = { count: 60, bytes: 100 };
/** One part that leaves while the file is open, and a rest. */
const LARGE: Work = { count: 20, bytes: 60_000 };

/** An unfinished upload of a run that was killed long ago. */
async function leaveUpload(stage: Stage): Promise<void> {
  const store = createCosStore(parseConfig(stage.environment()).cos, { logger: keepingLogger() });
  stage.cosOffsetMs = -16 * MINUTE_MS;
  const start = () =>
    store.startUpload('p/public/default/orders/x.jsonl', { metadata: {}, contentType: 'x' });
  // By the first, this side learns the clock of COS.
  await start().catch(start);
  await store.close();
  stage.cosOffsetMs = 0;
  expect(stage.cos.uploads()).toHaveLength(1);
}

const WORK = {
  put: SMALL,
  init: LARGE,
  part: LARGE,
  complete: LARGE,
  abort: { ...SMALL, prepare: leaveUpload },
  // A creation whose answer was lost is looked for.
  head: {
    ...SMALL,
    prepare: ({ cos }) =>
      cos.addFault({ kind: 'put', key: 'jsonl', action: { type: 'reset', when: 'after-commit' } }),
  },
} satisfies Record<string, Work>;
type Kind = keyof typeof WORK;

/** `recovers`: within the run. `fails`: the run does. `left`: the run is a success, and leaves it to the next one. */
type Outcome = 'recovers' | 'fails' | 'left';

interface Failing {
  readonly outcome: Outcome;
  /** Where the outcome of this kind of call is another. */
  readonly unlike?: Partial<Record<Kind, Outcome>>;
  /** What a person is to look at. */
  readonly hint?: RegExp;
  readonly strike: (kind: Kind, stage: Stage) => void;
}

/** Calls of that kind on objects of messages are struck, so many times. */
const struck =
  (action: FaultAction, times: number | 'always') =>
  (kind: Kind, { cos }: Stage): void =>
    cos.addFault({ kind, key: 'jsonl', times, action });
const status = (code: number, xml?: string) =>
  struck({ type: 'status', status: code, ...(xml === undefined ? {} : { code: xml }) }, 2);
const refused = (code: CosErrorCode) => struck({ type: 'error', code }, 'always');

const FAILING: Record<string, Failing> = {
  '503 SlowDown': { outcome: 'recovers', strike: status(503, 'SlowDown') },
  '429': { outcome: 'recovers', strike: status(429) },
  '500 InternalError': { outcome: 'recovers', strike: status(500, 'InternalError') },
  'the page of a proxy': {
    outcome: 'recovers',
    strike: struck({ type: 'status', status: 502, body: 'html' }, 2),
  },
  'a reset before the commit': {
    outcome: 'recovers',
    strike: struck({ type: 'reset', when: 'before-commit' }, 2),
  },
  'an answer that is lost after the commit': {
    outcome: 'recovers',
    strike: struck({ type: 'reset', when: 'after-commit' }, 2),
  },
  'a 500 after the commit': {
    outcome: 'recovers',
    strike: struck({ type: 'status', status: 500, when: 'after-commit' }, 2),
  },
  'no answer at all': { outcome: 'recovers', strike: struck({ type: 'hang', when: 'before-commit' }, 2) },
  'no answer after the commit': {
    outcome: 'recovers',
    strike: struck({ type: 'hang', when: 'after-commit' }, 1),
  },
  '200 with an error in the body': {
    outcome: 'recovers',
    // The SDK does not look into that body.
    unlike: { abort: 'left' },
    strike: struck({ type: 'error-in-200' }, 1),
  },
  'an answer without an ETag': { outcome: 'recovers', strike: struck({ type: 'no-etag' }, 1) },
  'an answer without a CRC-64': { outcome: 'recovers', strike: struck({ type: 'no-crc' }, 1) },
  'a wrong CRC-64': {
    outcome: 'recovers',
    // What is visible and not what was sent is for a person to look at.
    unlike: { put: 'fails', complete: 'fails', head: 'fails' },
    hint: /object/i,
    strike: struck({ type: 'wrong-crc' }, 1),
  },
  'a 403': {
    outcome: 'fails',
    unlike: { abort: 'left' },
    hint: /policy/,
    strike: refused('AccessDenied'),
  },
  'an expired token': {
    outcome: 'fails',
    unlike: { abort: 'left' },
    hint: /credentials/i,
    strike: refused('ExpiredToken'),
  },
  'a bucket that is gone': {
    outcome: 'fails',
    unlike: { abort: 'left' },
    // A HEAD has no body, in which a bucket and an object would differ.
    hint: /COS_BUCKET|removes objects/,
    strike: refused('NoSuchBucket'),
  },
  'a clock that is 20 minutes off': {
    outcome: 'recovers',
    strike: (kind, stage) =>
      stage.cos.setOnRequest((of, key) => {
        if (of === kind && key.includes('jsonl')) stage.cosOffsetMs = 20 * MINUTE_MS;
      }),
  },
};

async function startStage(): Promise<Stage> {
  const cosClock = () => Date.now() + stage.cosOffsetMs;
  const stage: Stage = Object.assign(await startRunStage({ partitions: 1, cosClock }), { cosOffsetMs: 0 });
  return stage;
}

for (const [kind, { count, bytes, prepare }] of Object.entries(WORK) as [Kind, Work][]) {
  describe(`COS answers a call of the kind ${kind} with`, () => {
    it.for(Object.entries(FAILING))(
      '%s',
      async ([, { outcome, unlike, hint, strike }], { onTestFinished }) => {
        const stage = await startStage();
        onTestFinished(() => stage.close());
        stage.publish(count, { bytes });
        await prepare?.(stage);
        strike(kind, stage);
        const { summary, error, lines } = await stage.run();
        expect(stage.cos.requests().filter((request) => request.kind === kind)).not.toEqual([]);
        const expected = unlike?.[kind] ?? outcome;
        if (expected === 'fails') {
          expect(['store', 'corrupt']).toContain(error?.code);
          expect(error?.hint).toMatch(hint ?? /\w/);
          expect(lines.at(-1)).toMatchObject({
            message: 'run failed',
            level: 'error',
            errorCode: error?.code,
          });
          const acknowledged = count - stage.backlog() * 10;
          expect(acknowledged).toBe(0);
        } else {
          expect(error).toBeUndefined();
          // What was found after a lost answer, and could not be known for ours, is found once more.
          expect((summary?.messages ?? 0) + (summary?.alreadyStored ?? 0) * count).toBe(count);
          stage.expectExactlyOnce();
          expect(stage.backlog()).toBe(0);
          if (expected === 'left') expect(stage.cos.uploads()).toHaveLength(1);
          else if (kind !== 'init') expect(stage.cos.uploads()).toEqual([]);
        }
        stage.cos.clearFaults();
        stage.cos.setOnRequest(undefined);
        expect((await stage.run()).error).toBeUndefined();
        stage.expectExactlyOnce();
        expect(stage.backlog()).toBe(0);
        if (kind !== 'init') expect(stage.cos.uploads()).toEqual([]);
      },
    );
  });
}
