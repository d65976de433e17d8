// What is stored wins: a run that finds objects of an earlier one, which could not acknowledge them, goes on behind
// them. Whatever the limits were, in whatever kind of object: nothing is replaced and nothing is stored twice.
// @module-tag faults
import { describe, expect } from 'vitest';
import { itWithStage, type RunStage, SUBSCRIPTION, startRunStage } from '../stage/loopback-stage.ts';

/** A number of Pulsar's ServerError; it is not tried again. */
const AUTHORIZATION_ERROR = 4;

const it = itWithStage();

/** A run that stores and then dies before anything is acknowledged, as far as the broker and COS can see. */
async function storeWithoutAcknowledging(
  stage: RunStage,
  env: Record<string, string>,
): Promise<Map<string, string>> {
  const refusal = { error: AUTHORIZATION_ERROR, message: 'no more' };
  const stop = stage.broker.onCommand((name) => (name === 'ack' ? refusal : undefined));
  const { error } = await stage.run({ env });
  stop();
  expect(error?.code).toBe('source');
  const objects = stage.cos.objects().filter(({ key }) => key.includes('.jsonl'));
  expect(objects.length).toBeGreaterThan(0);
  return new Map(objects.map(({ key, crc64 }) => [key, crc64]));
}

async function expectTheArchiveGoesOn(
  stage: RunStage,
  before: Map<string, string>,
  env: Record<string, string>,
): Promise<void> {
  const { error, summary } = await stage.run({ env });
  expect(error).toBeUndefined();
  expect(summary?.stopReason).toBe('caught_up');
  expect(summary?.alreadyStored).toBeGreaterThan(0);
  stage.expectExactlyOnce();
  expect(stage.backlog()).toBe(0);
  expect(stage.cos.uploads()).toEqual([]);
  for (const [key, crc64] of before) expect(stage.cos.object(key)?.crc64, key).toBe(crc64);
}

/** Of a message: thirty of them are more than a part, and gzip, which looks 32 KB back, finds none in the one before. */
const LARGE_BYTES = 40_000;
/** `per`: messages of a partition; of large ones, more than the part of an upload when they are stored. */
const FILES = [
  { name: 'objects of one PUT', partitions: 2, per: { none: 200, gzip: 200 }, bytes: 100 },
  { name: 'multipart objects', partitions: 1, per: { none: 30, gzip: 40 }, bytes: LARGE_BYTES },
];

for (const { name, partitions, per: messages, bytes } of FILES) {
  for (const compression of ['none', 'gzip'] as const) {
    const per = messages[compression];
    describe(`${name}, compression ${compression}`, () => {
      const limit = (messages: number) => ({
        FILE_MAX_MESSAGES: String(messages),
        FILE_COMPRESSION: compression,
      });

      itWithStage({ partitions }).for([
        ['the same', per, per],
        ['less than our file', per / 2, per],
        ['more than our file', per, per / 2],
        ['a length that fits no border of ours', per / 2 + 7, per / 3],
      ] as const)('hold %s', async ([, before, after], { stage }) => {
        stage.publish(per * partitions, { bytes, batchSize: 10 });
        const stored = await storeWithoutAcknowledging(stage, limit(Math.floor(before)));
        await expectTheArchiveGoesOn(stage, stored, limit(Math.floor(after)));
        const uploads = stage.cos.requests().filter(({ kind }) => kind === 'complete');
        expect(uploads.length > 0).toBe(bytes === LARGE_BYTES && before === per);
      });
    });
  }
}

describe('an object that is found', () => {
  const limit = (messages: number) => ({ FILE_MAX_MESSAGES: String(messages) });

  it('although entries were split over files, with the next run splitting them elsewhere', async ({
    stage,
  }) => {
    stage.publish(400, { batchSize: 100 });
    const stored = await storeWithoutAcknowledging(stage, limit(30));
    await expectTheArchiveGoesOn(stage, stored, limit(45));
  });

  it('although the bucket has versioning and so ignores forbid-overwrite', async ({ stage }) => {
    stage.cos.setVersioning('Enabled');
    stage.publish(400);
    const stored = await storeWithoutAcknowledging(stage, limit(90));
    await expectTheArchiveGoesOn(stage, stored, limit(120));
  });

  it('although the role may not ask for versioning', async ({ stage }) => {
    stage.cos.addFault({
      kind: 'versioning',
      times: 'always',
      action: { type: 'error', code: 'AccessDenied' },
    });
    stage.cos.setVersioning('Suspended');
    stage.publish(400);
    const stored = await storeWithoutAcknowledging(stage, limit(90));
    await expectTheArchiveGoesOn(stage, stored, limit(60));
  });

  itWithStage({ partitions: 1 })(
    'only when the upload is completed: another instance was faster',
    async ({ stage }) => {
      stage.publish(30, { bytes: LARGE_BYTES });
      const env = { FILE_MAX_MESSAGES: '100' };
      let other: Promise<unknown> | undefined;
      stage.cos.setOnRequest(async (kind) => {
        if (kind !== 'complete' || other !== undefined) return;
        // The broker takes the first run for dead and gives its messages to a second one, which stores them first.
        stage.broker.kickConsumers(stage.topic, SUBSCRIPTION);
        other = stage.run({ env });
        await other;
      });
      const first = await stage.run({ env });
      await other;
      expect(other).toBeDefined();
      if (first.error !== undefined) expect(first.error.code).toBe('source');
      stage.cos.setOnRequest(undefined);
      await stage.run({ env });
      stage.expectExactlyOnce();
      expect(stage.backlog()).toBe(0);
    },
  );

  it('and is foreign: the run fails, names the key and what to do, and acknowledges nothing', async ({
    stage,
  }) => {
    stage.publish(100);
    await stage.run();
    const before = stage.cos.objects().map(({ key, crc64 }) => `${key} ${crc64}`);
    // Another cluster numbers its entries the same way: the same place, another message.
    const other = await startRunStage();
    try {
      other.publish(200);
      const env = { PULSAR_SERVICE_URL: other.broker.serviceUrl, RULE_NAME: 'other-rule' };
      const { error, lines } = await stage.run({ env });
      expect(error).toMatchObject({ code: 'config', hint: expect.stringContaining('COS_PREFIX') });
      expect(error?.message).toMatch(
        /another archive lives at this prefix: p\/public\/default\/orders\/date=/,
      );
      expect(lines.at(-1)).toMatchObject({ message: 'run failed', errorCode: 'config' });
      expect(other.backlog()).toBe(20);
      expect(stage.cos.objects().map(({ key, crc64 }) => `${key} ${crc64}`)).toEqual(before);
    } finally {
      await other.close();
    }
  });
});
