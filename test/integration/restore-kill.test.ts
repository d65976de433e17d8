// `archive restore` is killed with SIGKILL at every step, and at random ones, and called again until it ends. Nothing is
// lost; where the topic drops duplicates nothing is there twice, and where it does not, no more than was not written down.
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { bundleCli } from '../../src/packaging/bundle.ts';
import { packageRoot } from '../../src/packaging/package-root.ts';
import type { StoredMessage } from '../contract/stored-messages.ts';
import { type LoopbackStage, startLoopbackStage, TOPIC } from '../stage/loopback-stage.ts';
import {
  afterCommitOf,
  atAnswer,
  atCall,
  atCommand,
  atEvent,
  type KillPoint,
  randomFrom,
} from './kill-points.ts';
import {
  expectInOrder,
  expectNothingLost,
  fillAndBackUp,
  startCommand,
  storedByPartition,
} from './restore-under-test.ts';

const TARGET = 'public/default/replay';
const RANDOM_SECONDS = 12;
const NOTES = '_restores/';

let rule: LoopbackStage;
let published: StoredMessage[][];
let targetPartitions = 2;
let args: string[] = [];

beforeAll(async () => {
  const root = packageRoot(import.meta.url);
  await bundleCli(root, join(root, 'dist/cli'));
}, 60_000);
afterEach(() => rule.close());

interface Setting {
  readonly deduplicates: boolean;
  readonly count?: number;
  readonly largeBytes?: number;
  readonly partitions?: number;
  readonly options?: readonly string[];
}

async function start({
  deduplicates,
  count = 400,
  largeBytes = 250_000,
  partitions = 2,
  options = [],
}: Setting) {
  rule = await startLoopbackStage({ maxMessageSizeBytes: 100_000 });
  await fillAndBackUp(rule, count, largeBytes);
  published = await storedByPartition(rule, TOPIC, 2);
  targetPartitions = partitions;
  rule.broker.createTopic(TARGET, partitions);
  if (deduplicates) rule.broker.deduplicate(TARGET);
  args = ['archive', 'restore', '--to', TARGET, ...options];
}

/** A restore that was killed after it had written down its end is done, and says so when it is called again. */
const isDone = (err: string) => err.includes('this restore was done') && err.includes('--again');

/** Restores until `point` kills it. False where it came to its end before. */
async function restoreAndKill(point: KillPoint): Promise<boolean> {
  const run = startCommand(args, rule.env);
  let isKilled = false;
  const takeAway = point(rule, () => {
    isKilled = true;
    run.kill9();
  });
  const { code, err } = await run.outcome;
  takeAway();
  if (code !== null && code !== 0 && !isDone(err)) throw new Error(err);
  return isKilled && code === null;
}

async function restoreToTheEnd(): Promise<void> {
  const { code, err } = await startCommand(args, rule.env).outcome;
  if (code !== 0) expect(err).toSatisfy(isDone);
}

const restored = () => storedByPartition(rule, TARGET, targetPartitions);

/** What the progress beside the archive says that the broker has, for each pair of partitions. */
function writtenDown(): Record<string, Record<string, number>> {
  const key = rule.cos.objects().find((one) => /_restores\/\w+\.json$/.test(one.key))?.key;
  if (key === undefined) return {};
  return JSON.parse(rule.cos.object(key)?.bytes.toString() ?? '{}').acknowledged ?? {};
}

/** How many messages a killed restore has published: those that its note tells of, and those that it does not. */
async function storedSoFar(): Promise<{ told: number; untold: number }> {
  const acknowledged = writtenDown();
  const isTold = ({ producer, sequenceId }: StoredMessage, partition: number) =>
    sequenceId <= (acknowledged[producer.split('-').at(-1) as string]?.[partition] ?? -1);
  const stored = await restored();
  const told = stored.flatMap((messages, partition) => messages.filter((one) => isTold(one, partition)));
  return { told: told.length, untold: stored.flat().length - told.length };
}

const isChunk = (fields: Readonly<Record<string, unknown>>) => fields['isChunk'] === true;

const AT_THE_BROKER: [string, KillPoint][] = [
  ['before it holds the restore for itself', atCommand('producer')],
  ['when it holds it, before it knows', atAnswer('producerSuccess')],
  ['before it has a producer', atCommand('producer', 2)],
  ['when it has a producer, before it knows', atAnswer('producerSuccess', 2)],
  ['between two producers', atCommand('producer', 3)],
  ['before the first entry is stored', atSend(1)],
  ['when the first entry is stored, before its receipt', atAnswer('sendReceipt')],
  ['before a later entry is stored', atSend(6)],
  ['when a later entry is stored, before its receipt', atAnswer('sendReceipt', 6)],
  ['in the middle of a message in chunks', atSend(2, isChunk)],
  ['before the last chunk of a message', atSend(3, isChunk)],
  ['when everything is stored, before its producer is closed', atCommand('closeProducer')],
];
const AT_ITS_NOTES: [string, KillPoint][] = [
  ['before it has written down what it restores', atCall('put', '.objects.json')],
  ['when it has written down what it restores, before it knows', afterCommitOf('put', '.objects.json')],
  ['before its note is begun', atCall('put', NOTES, 2)],
  ['when its note is begun, before it knows', afterCommitOf('put', NOTES, 2)],
  ['before it has written down how far it came', atCall('put', NOTES, 3)],
  ['when it has written down how far it came, before it knows', afterCommitOf('put', NOTES, 3)],
  ['before it has written down its end', atCall('put', NOTES, 4)],
  ['when it has written down its end, before it knows', afterCommitOf('put', NOTES, 4)],
  ['while it reads the archive', atCall('get', '.jsonl', 3)],
];

/** The n-th SEND that counts is not acted upon, nor is what comes after it on its connection. */
function atSend(
  nth: number,
  counts: (fields: Readonly<Record<string, unknown>>) => boolean = () => true,
): KillPoint {
  return (around, kill) => {
    let seen = 0;
    return around.broker.onCommand((name, fields) => {
      if (name !== 'send' || !counts(fields) || ++seen < nth) return undefined;
      kill();
      return 'close';
    });
  };
}

describe.each([
  ['in batches', [], [...AT_THE_BROKER, ...AT_ITS_NOTES]],
  ['one by one', ['--no-batching', '--compression', 'none'], AT_THE_BROKER],
])('restored %s, killed and called again, into a topic that drops duplicates', (_, options, points) => {
  it.each(points)('each message is there once: %s', async (_name, point) => {
    await start({ deduplicates: true, options });
    expect(await restoreAndKill(point)).toBe(true);
    await restoreToTheEnd();
    const messages = await restored();
    expect(expectNothingLost(published, messages)).toBe(0);
    expectInOrder(messages);
  });
});

describe('into a topic that keeps duplicates', () => {
  it.each([...AT_THE_BROKER, ...AT_ITS_NOTES])(
    'each message is there, and twice only what was not written down: %s',
    async (_name, point) => {
      await start({ deduplicates: false, options: ['--no-batching'] });
      expect(await restoreAndKill(point)).toBe(true);
      const { untold } = await storedSoFar();
      await restoreToTheEnd();
      const messages = await restored();
      const twice = expectNothingLost(published, messages);
      expectInOrder(messages);
      expect(twice).toBeLessThanOrEqual(untold);
    },
  );

  it('what was written down on the way is not published again', async () => {
    await start({ deduplicates: false, count: 3_000, options: ['--rate', '800', '--no-batching'] });
    expect(await restoreAndKill(afterCommitOf('put', NOTES, 4))).toBe(true);
    const { told, untold } = await storedSoFar();
    expect(told).toBeGreaterThan(200);
    args = args.filter((arg) => arg !== '--rate' && arg !== '800');
    await restoreToTheEnd();
    const twice = expectNothingLost(published, await restored());
    expect(twice).toBeLessThanOrEqual(untold);
  });
});

it('kills at random moments, again and again, lose nothing and publish nothing twice', async () => {
  const seed = Number(process.env['TEST_SEED'] ?? Date.now() % 1_000_000);
  console.info(`random kills with TEST_SEED=${seed}`);
  const random = randomFrom(seed);
  const from = (low: number, high: number) => low + Math.floor(random() * (high - low));
  const end = Date.now() + RANDOM_SECONDS * 1_000;
  let kills = 0;
  for (let round = 0; round === 0 || Date.now() < end; round++) {
    const deduplicates = random() < 0.7;
    const options = [
      ...(random() < 0.5 ? ['--no-batching'] : []),
      ...['--compression', random() < 0.5 ? 'none' : 'zlib'],
      ...(random() < 0.3 ? ['--rate', '2000'] : []),
    ];
    await start({
      deduplicates,
      options,
      count: from(1, 700),
      largeBytes: random() < 0.5 ? from(100_000, 500_000) : 0,
      partitions: from(1, 4),
    });
    try {
      let most = 0;
      for (let i = from(1, 4); i > 0; i--) {
        if (await restoreAndKill(atEvent(from(5, 120), from(0, 15)))) kills++;
        else break;
        most += (await restored()).flat().length;
      }
      await restoreToTheEnd();
      const messages = await restored();
      const twice = expectNothingLost(published, messages);
      expectInOrder(messages);
      expect(twice).toBeLessThanOrEqual(deduplicates ? 0 : most);
    } catch (cause) {
      throw new Error(`TEST_SEED=${seed}, round ${round}`, { cause });
    }
    if (Date.now() < end) await rule.close();
  }
  expect(kills).toBeGreaterThan(2);
});
