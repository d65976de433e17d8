// The packaged function is killed with SIGKILL at the steps of a run that real-broker.test.ts has not, and at random
// ones. One undisturbed run later, with other limits, every message is in one object. Run `npm run build` first.
import { afterEach, describe, expect, it } from 'vitest';
import { type RunStage, startRunStage } from '../stage/loopback-stage.ts';
import { invoke, startInvocation } from './invoke.ts';
import {
  afterCommitOf,
  atAnswer,
  atCall,
  atCommand,
  atEvent,
  type KillPoint,
  randomFrom,
} from './kill-points.ts';

/** Unfinished uploads are removed when they are older than this. */
const ORPHAN_AGE_MS = 900_000;
const RANDOM_SECONDS = 20;

const FILES = [
  {
    name: 'objects of one PUT',
    publish: { count: 400, options: { batchSize: 10 } },
    partitions: 2,
    limits: ['60', '45', '130'],
    points: [
      ['in the middle of reading', atAnswer('message', 9)],
      ['before a later PUT', atCall('put', '.jsonl', 4)],
      ['after a later PUT is committed and before its answer', afterCommitOf('put', '.jsonl', 4)],
      ['when its consumer is closed, before it knows', atAnswer('success', 2)],
      ['before its manifest is written', atCall('put', '_runs/')],
      ['when its manifest is written, before it knows', afterCommitOf('put', '_runs/')],
      ['while it looks for old uploads', atCall('listUploads', '')],
    ] as [string, KillPoint][],
  },
  {
    name: 'multipart objects',
    publish: { count: 190, options: { batchSize: 10, bytes: 100_000 } },
    partitions: 1,
    limits: ['90', '70', '130'],
    points: [
      ['before an Init', atCall('init', '.jsonl')],
      ['after an Init is committed and before its answer', afterCommitOf('init', '.jsonl')],
      ['after a part is committed and before its answer', afterCommitOf('part', '.jsonl')],
      ['before a Complete', atCall('complete', '.jsonl')],
      ['before the second Complete', atCall('complete', '.jsonl', 2)],
      ['after the second Complete is committed', afterCommitOf('complete', '.jsonl', 2)],
      ['between two acks', atCommand('ack', 2)],
    ] as [string, KillPoint][],
  },
];

let stage: RunStage;
let cosOffsetMs = 0;
afterEach(async () => {
  cosOffsetMs = 0;
  await stage.close();
});

const start = async (options: { partitions: number; subscriptionType: string }) => {
  stage = await startRunStage({ ...options, cosClock: () => Date.now() + cosOffsetMs });
};

/** Runs the function until `point` kills it. False where it came to its end before. */
async function runAndKill(point: KillPoint, env: Record<string, string>): Promise<boolean> {
  const invocation = startInvocation({ env: stage.environment(env), timeLimitMs: 60_000 });
  let isKilled = false;
  const takeAway = point(stage, () => {
    isKilled = true;
    invocation.kill9();
  });
  const { summary, thrown, output } = await invocation.outcome;
  expect(thrown, output).toBeUndefined();
  takeAway();
  return isKilled && summary === undefined;
}

async function expectTheNextRunToFinish(env: Record<string, string>): Promise<void> {
  const before = stage.cos.objects().map(({ key, crc64 }) => ({ key, crc64 }));
  const { summary, output } = await invoke({ env: stage.environment(env) });
  expect(summary, output).toMatchObject({ stopReason: 'caught_up' });
  stage.expectExactlyOnce();
  expect(stage.backlog()).toBe(0);
  for (const { key, crc64 } of before) expect(stage.cos.object(key)?.crc64, key).toBe(crc64);
}

for (const subscriptionType of ['exclusive', 'failover']) {
  for (const { name, publish, partitions, limits, points } of FILES) {
    describe(`${name}, ${subscriptionType}: the next run stores each message once after a kill`, () => {
      it.each(points)('%s', async (moment, point) => {
        await start({ partitions, subscriptionType });
        stage.publish(publish.count, publish.options);
        // What the killed run leaves unfinished is old enough for the next one.
        cosOffsetMs = -ORPHAN_AGE_MS - 60_000;
        const [first, smaller, larger] = limits as [string, string, string];
        expect(await runAndKill(point, { FILE_MAX_MESSAGES: first })).toBe(true);
        cosOffsetMs = 0;
        const next = points.findIndex(([other]) => other === moment) % 2 === 0 ? smaller : larger;
        await expectTheNextRunToFinish({ FILE_MAX_MESSAGES: next });
        expect(stage.cos.uploads()).toEqual([]);
      });
    });
  }
}

it('an unfinished upload younger than the longest time-out is left to the instance that may own it', async () => {
  await start({ partitions: 1, subscriptionType: 'exclusive' });
  stage.publish(180, { batchSize: 10, bytes: 150_000 });
  expect(await runAndKill(atCall('complete', '.jsonl'), {})).toBe(true);
  await expectTheNextRunToFinish({});
  expect(stage.cos.uploads()).toHaveLength(1);
});

it(`kills at random moments, again and again, lose nothing and store nothing twice`, async () => {
  const seed = Number(process.env['TEST_SEED'] ?? Date.now() % 1_000_000);
  console.info(`random kills with TEST_SEED=${seed}`);
  const random = randomFrom(seed);
  const from = (low: number, high: number) => low + Math.floor(random() * (high - low));
  const end = Date.now() + RANDOM_SECONDS * 1_000;
  let kills = 0;
  for (let round = 0; round === 0 || Date.now() < end; round++) {
    const isLarge = random() < 0.3;
    await start({
      partitions: from(1, 4),
      subscriptionType: random() < 0.5 ? 'exclusive' : 'failover',
    });
    const limits = () => ({
      FILE_MAX_MESSAGES: String(from(20, 200)),
      FILE_COMPRESSION: isCompressed ? 'gzip' : 'none',
    });
    const isCompressed = random() < 0.3;
    for (let i = 0; i < 3; i++) {
      const batchSize = from(0, 30);
      stage.publish(isLarge ? 60 : from(1, 300), { batchSize, bytes: isLarge ? 150_000 : 100 });
      if (await runAndKill(atEvent(from(5, 90), from(0, 15)), limits())) kills++;
    }
    await expectTheNextRunToFinish(limits()).catch((error: unknown) => {
      throw new Error(`TEST_SEED=${seed}, round ${round}`, { cause: error });
    });
    if (Date.now() < end) await stage.close();
  }
  expect(kills).toBeGreaterThan(2);
});
