// What a run says about a subscription that somebody else has moved, and of one that nobody has.
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { readCatalog } from '../../src/archive/catalog/read-catalog.ts';
import { recoverArchive } from '../../src/archive/repair/recover.ts';
import { createCatalogCheck } from '../../src/archive/verify/verify-catalog.ts';
import { BackupError } from '../../src/errors.ts';
import type { RunManifest, Summary } from '../../src/format/run-manifest.ts';
import { handleInvocation } from '../../src/handler.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { encodeEntry } from '../../src/local/broker/frames.ts';
import { createLogger } from '../../src/logger.ts';
import type { RunPositions, Source, SourcePartition } from '../../src/ports.ts';
import {
  createFakeBroker,
  createFakeSource,
  type FakeBroker,
  type FakePartition,
  publish,
  publishUnreadable,
  resetTo,
  skip,
} from '../fakes/memory-source.ts';
import { createMemoryStore, type MemoryStore } from '../fakes/memory-store.ts';

const ENV = {
  RULE_NAME: 'orders-backup',
  PULSAR_SERVICE_URL: 'pulsar://127.0.0.1:6650',
  PULSAR_TOPIC: 't/n/orders',
  PULSAR_SUBSCRIPTION: 'backup',
  COS_BUCKET: 'archive-1250000000',
  COS_REGION: 'ap-guangzhou',
  COS_PREFIX: 'p/',
  TENCENTCLOUD_SECRETID: 'the-secret-id',
  TENCENTCLOUD_SECRETKEY: 'the-secret-key',
};
const RUNS = 'p/_runs/rule=orders-backup/';

interface Outcome {
  readonly summary: Summary | undefined;
  readonly error: unknown;
  readonly lines: Record<string, unknown>[];
  /** What was logged of moves. */
  readonly moves: Record<string, unknown>[];
  /** The calls of the store. */
  readonly calls: string[];
  /** The manifest that this run left. */
  readonly manifest: RunManifest | undefined;
}

interface Rule {
  readonly broker: FakeBroker;
  readonly store: MemoryStore;
  readonly partition: FakePartition;
  run(options?: { env?: Record<string, string>; source?: Source; atMs?: number }): Promise<Outcome>;
  /** A run that ends between its last acknowledgement and its manifest. */
  killedRun(): Promise<void>;
  manifests(): string[];
  replace(key: string, bytes: Buffer): void;
}

function ruleOf(broker = createFakeBroker(1)): Rule {
  const store = createMemoryStore();
  let runs = 0;
  const manifests = () => [...store.objects.keys()].filter((key) => key.startsWith(RUNS)).sort();
  const rule: Rule = {
    broker,
    store,
    partition: broker.partitions[0] as FakePartition,
    manifests,
    async run({ env = {}, source = createFakeSource(broker), atMs } = {}) {
      const lines: Record<string, unknown>[] = [];
      const before = new Set(manifests());
      store.calls.length = 0;
      const shiftMs = atMs === undefined ? 0 : atMs - Date.now();
      const type = broker.isInOrder ? 'exclusive' : 'shared';
      const outcome = await handleInvocation(
        { ...ENV, PULSAR_SUBSCRIPTION_TYPE: type, ...env },
        { request_id: `r-${String(++runs).padStart(3, '0')}`, time_limit_in_ms: 60_000 },
        {
          clock: { ...systemClock, now: () => systemClock.now() + shiftMs },
          createStore: () => ({ ...store, close: async () => undefined }),
          createSource: async () => source,
          createLogger: (options) =>
            createLogger({ ...options, destination: { write: (line) => void lines.push(JSON.parse(line)) } }),
        },
      ).then(
        (summary) => ({ summary, error: undefined }),
        (error: unknown) => ({ summary: undefined, error }),
      );
      const [left] = manifests().filter((key) => !before.has(key));
      const bytes = left === undefined ? undefined : store.objects.get(left)?.bytes.toString();
      return {
        ...outcome,
        lines,
        moves: lines.filter(({ message }) => message === 'subscription moved'),
        calls: [...store.calls],
        manifest: bytes === undefined ? undefined : JSON.parse(bytes),
      };
    },
    replace(key, bytes) {
      store.objects.set(key, { key, bytes, metadata: {}, contentType: 'application/json', crc64: '0' });
    },
    async killedRun() {
      store.hook = (when, call, key) => {
        if (when === 'before' && call === 'create' && key.startsWith(RUNS))
          throw new BackupError('store', 'killed');
      };
      expect((await rule.run()).error).toMatchObject({ message: 'killed' });
      store.hook = undefined;
    },
  };
  return rule;
}

const fill = (partition: FakePartition, count: number) => {
  for (let i = 0; i < count; i++) publish(partition, [`message ${i}`], { publishTimeMs: Date.now() });
};

/** Nothing is said about a move: not in the log, the summary or the manifest. */
function expectNoMove({ error, moves, summary, manifest, lines }: Outcome): void {
  expect(error).toBeUndefined();
  expect(moves).toEqual([]);
  expect(lines.filter(({ level }) => level === 'warn')).toEqual([]);
  expect(summary).not.toHaveProperty('subscriptionMoved');
  expect(manifest ?? {}).not.toHaveProperty('moved');
}

describe('a subscription that somebody else has moved forwards', () => {
  it('is reported in the log, the summary and the manifest, with how many entries at most are lost', async () => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    await rule.run();
    fill(rule.partition, 10);
    skip(rule.partition, 4);
    const { moves, summary, manifest } = await rule.run();
    const move = {
      partition: 0,
      topic: 'persistent://t/n/orders-partition-0',
      direction: 'forwards',
      from: '7:4',
      to: '7:8',
      entriesAtMost: 4,
    };
    expect(moves).toEqual([expect.objectContaining({ ...move, level: 'warn', hint: expect.any(String) })]);
    expect(summary).toMatchObject({ stopReason: 'caught_up', messages: 6, subscriptionMoved: 1 });
    expect(manifest?.moved).toEqual([move]);
  });

  it('is reported once: the next run begins where this one ended', async () => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    await rule.run();
    fill(rule.partition, 10);
    skip(rule.partition, 4);
    await rule.run();
    expectNoMove(await rule.run());
  });

  it('is reported by a run that stores nothing, which leaves a manifest of it', async () => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    await rule.run();
    fill(rule.partition, 10);
    skip(rule.partition, 10);
    const { summary, manifest } = await rule.run();
    expect(summary).toMatchObject({ messages: 0, subscriptionMoved: 1 });
    expect(manifest).toMatchObject({
      storedObjects: [],
      positions: [{ partition: 0, begin: '7:14', end: '7:14', last: '7:14' }],
      moved: [{ from: '7:4', to: '7:14', entriesAtMost: 10 }],
    });
    expectNoMove(await rule.run());
  });

  it('is reported of what lingered since the first run of the rule, which has stored nothing yet', async () => {
    const rule = ruleOf();
    const env = { FILE_LINGER_MINUTES: '60' };
    fill(rule.partition, 5);
    const first = await rule.run({ env });
    expect(first.summary).toMatchObject({ messages: 0, lingering: { messages: 5 } });
    expect(first.manifest).toMatchObject({ storedObjects: [], positions: [{ partition: 0, end: '7:-1' }] });
    const quiet = await rule.run({ env });
    expectNoMove(quiet);
    expect(quiet.manifest).toBeUndefined();
    skip(rule.partition, 3);
    const { moves, summary } = await rule.run();
    expect(moves).toEqual([expect.objectContaining({ from: '7:-1', to: '7:2', entriesAtMost: 3 })]);
    expect(summary).toMatchObject({ messages: 2, subscriptionMoved: 1 });
  });

  it('is reported by a run that fails', async () => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    await rule.run();
    fill(rule.partition, 10);
    skip(rule.partition, 4);
    rule.broker.hook = (call) => {
      if (call === 'next') throw new BackupError('source', 'the topic is gone');
    };
    const { error, lines, manifest } = await rule.run();
    expect(error).toMatchObject({ message: 'the topic is gone' });
    expect(lines.at(-1)).toMatchObject({ message: 'run failed', subscriptionMoved: 1 });
    expect(manifest).toMatchObject({ stopReason: 'failed', moved: [{ from: '7:4', to: '7:8' }] });
    rule.broker.hook = undefined;
    expectNoMove(await rule.run());
  });

  it('is reported for each partition, and for no other', async () => {
    const rule = ruleOf(createFakeBroker(3));
    for (const partition of rule.broker.partitions) fill(partition, 5);
    await rule.run();
    for (const partition of rule.broker.partitions) fill(partition, 5);
    skip(rule.broker.partitions[0] as FakePartition, 1);
    skip(rule.broker.partitions[2] as FakePartition, 5);
    const { moves, summary } = await rule.run();
    expect(moves.map(({ partition, entriesAtMost }) => [partition, entriesAtMost]).sort()).toEqual([
      [0, 1],
      [2, 5],
    ]);
    expect(summary).toMatchObject({ subscriptionMoved: 2, messages: 9 });
  });

  it('is reported without a number where it moved into another ledger', async () => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    await rule.run();
    rule.partition.nextId = { ledgerId: 9, entryId: 0 };
    fill(rule.partition, 8);
    skip(rule.partition, 3);
    const { moves, manifest } = await rule.run();
    expect(moves).toMatchObject([{ from: '7:4', to: '9:2' }]);
    expect(manifest?.moved?.[0]).not.toHaveProperty('entriesAtMost');
  });

  it('is reported where a trimmed ledger held messages that the broker still reports', async () => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    await rule.run();
    fill(rule.partition, 6);
    skip(rule.partition, 6);
    rule.partition.standsAt = { ledgerId: 8, entryId: -1 };
    const { moves } = await rule.run();
    expect(moves).toMatchObject([{ from: '7:4', to: '8:-1', entriesAtMost: 6 }]);
  });

  it('is reported where the run before left a backlog that has gone with its ledger', async () => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    await rule.run();
    fill(rule.partition, 6);
    // A run that reads nothing of it, and leaves a manifest all the same.
    rule.partition.standsAt = { ledgerId: 7, entryId: 5 };
    rule.broker.hook = (call) => {
      if (call === 'next') throw new BackupError('source', 'the topic is gone');
    };
    await rule.run();
    rule.broker.hook = undefined;
    rule.partition.entries.length = 0;
    rule.partition.standsAt = { ledgerId: 9, entryId: -1 };
    const { moves } = await rule.run();
    expect(moves).toMatchObject([{ from: '7:5', to: '9:-1' }]);
  });

  it('is reported where the ledger was closed since, and a reader still gets what was passed over', async () => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    await rule.run();
    fill(rule.partition, 6);
    skip(rule.partition, 6);
    rule.partition.standsAt = { ledgerId: 8, entryId: -1 };
    rule.partition.nextId = { ledgerId: 8, entryId: 0 };
    fill(rule.partition, 3);
    const { moves, summary } = await rule.run();
    expect(moves).toMatchObject([{ direction: 'forwards', from: '7:4', to: '8:-1' }]);
    expect(summary).toMatchObject({ messages: 3, subscriptionMoved: 1 });
  });

  it('is reported behind what a killed run had stored, and only that', async () => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    await rule.run();
    fill(rule.partition, 5);
    await rule.killedRun();
    fill(rule.partition, 7);
    skip(rule.partition, 3);
    const { moves } = await rule.run();
    expect(moves).toMatchObject([{ from: '7:9', to: '7:12', entriesAtMost: 3 }]);
  });

  it('is reported on a Shared subscription', async () => {
    const rule = ruleOf(createFakeBroker(1, { isInOrder: false }));
    fill(rule.partition, 5);
    await rule.run();
    fill(rule.partition, 10);
    skip(rule.partition, 4);
    expect((await rule.run()).moves).toMatchObject([{ from: '7:4', to: '7:8', entriesAtMost: 4 }]);
  });

  it('is reported where a rule of the same name, with another topic, runs in between', async () => {
    const rule = ruleOf();
    const other = { env: { PULSAR_TOPIC: 't/n/other' } };
    fill(rule.partition, 5);
    await rule.run();
    await rule.run(other);
    fill(rule.partition, 10);
    skip(rule.partition, 4);
    expect((await rule.run()).moves).toMatchObject([{ direction: 'forwards', entriesAtMost: 4 }]);
    // Of two that have nothing to do neither leaves a manifest because of the other's.
    await rule.run(other);
    for (const one of [{}, other, {}, other]) expect((await rule.run(one)).manifest).toBeUndefined();
  });

  it('is reported where it happened while the run drained', async () => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    const source = createFakeSource(rule.broker);
    const passedOver = { from: { ledgerId: 7, entryId: 1 }, to: { ledgerId: 7, entryId: 4 } };
    const moved: Source = {
      ...source,
      open: async () => {
        const [one] = (await source.open()) as [SourcePartition];
        const positions = () => ({ ...(one.positions?.() as RunPositions), passedOver });
        return [{ ...one, positions }];
      },
    };
    const { summary, moves, manifest } = await rule.run({ source: moved });
    expect(moves).toMatchObject([{ direction: 'forwards', from: '7:1', to: '7:4', entriesAtMost: 3 }]);
    expect(summary).toMatchObject({ subscriptionMoved: 1 });
    expect(manifest?.moved).toHaveLength(1);
  });

  describe('while its consumer was away', () => {
    const passedOver = {
      from: { ledgerId: 7, entryId: 12 },
      to: { ledgerId: 7, entryId: 14 },
      wasAway: true,
    };

    /** A run whose driver reports that; `between`: what happens while it drains. */
    async function runOf(rule: Rule, between: () => void = () => undefined): Promise<Outcome> {
      const source = createFakeSource(rule.broker);
      const moved: Source = {
        ...source,
        open: async () => {
          const [one] = (await source.open()) as [SourcePartition];
          between();
          const positions = () => ({ ...(one.positions?.() as RunPositions), passedOver });
          return [{ ...one, positions }];
        },
      };
      return await rule.run({ source: moved });
    }

    async function ruleWithRun(): Promise<Rule> {
      const rule = ruleOf();
      fill(rule.partition, 10);
      await rule.run();
      fill(rule.partition, 10);
      return rule;
    }

    it('is reported where no other run has stored what was skipped', async () => {
      const { moves, summary } = await runOf(await ruleWithRun());
      expect(moves).toMatchObject([{ direction: 'forwards', from: '7:12', to: '7:14', entriesAtMost: 2 }]);
      expect(summary).toMatchObject({ subscriptionMoved: 1 });
    });

    it('is not reported where another run was at work there', async () => {
      const rule = await ruleWithRun();
      const outcome = await runOf(rule, () => {
        const key = [...rule.store.objects.keys()].find((one) => one.endsWith('.jsonl')) as string;
        rule.replace(key.replace(/\d{10}-00000\.jsonl$/, '0000000013-00000.jsonl'), Buffer.from('x'));
      });
      expectNoMove(outcome);
    });

    it('is not reported by a first run, which cannot know', async () => {
      const rule = ruleOf();
      fill(rule.partition, 20);
      expectNoMove(await runOf(rule));
    });
  });

  it('is reported by the first entry that comes where the broker reports no positions', async () => {
    const rule = ruleOf();
    rule.broker.arePositionsKnown = false;
    fill(rule.partition, 5);
    await rule.run();
    expectNoMove(await rule.run());
    fill(rule.partition, 10);
    skip(rule.partition, 4);
    const { moves, summary } = await rule.run();
    expect(moves).toMatchObject([{ from: '7:4', to: '7:8', entriesAtMost: 4 }]);
    expect(summary).toMatchObject({ subscriptionMoved: 1 });
  });
});

describe('a subscription that was moved backwards', () => {
  it('is named, since messages may be in two objects, and not counted as a loss', async () => {
    const rule = ruleOf();
    fill(rule.partition, 10);
    await rule.run();
    resetTo(rule.partition, { ledgerId: 7, entryId: 3 });
    const { moves, summary, manifest } = await rule.run();
    expect(moves).toMatchObject([{ level: 'warn', direction: 'backwards', from: '7:9', to: '7:3' }]);
    expect(summary).not.toHaveProperty('subscriptionMoved');
    expect(manifest?.moved).toMatchObject([{ direction: 'backwards' }]);
    expectNoMove(await rule.run());
  });

  it('is no alarm where a killed broker brings acknowledgements back: the objects are found stored', async () => {
    const rule = ruleOf();
    fill(rule.partition, 10);
    await rule.run();
    fill(rule.partition, 10);
    await rule.run();
    resetTo(rule.partition, { ledgerId: 7, entryId: 9 });
    const { moves, lines, summary } = await rule.run();
    expect(moves).toEqual([]);
    expect(lines.map(({ message }) => message)).toContain('acknowledgements came back');
    expect(summary).toMatchObject({ messages: 0, alreadyStored: 1 });
  });

  it('is no move where the broker has only found the position from before it trimmed the ledger', async () => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    rule.partition.standsAt = { ledgerId: 8, entryId: -1 };
    await rule.run();
    rule.partition.standsAt = undefined;
    expectNoMove(await rule.run());
  });
});

describe('no move is reported', () => {
  it('of a first run, nor of one after it that finds what it expects', async () => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    expectNoMove(await rule.run());
    fill(rule.partition, 5);
    expectNoMove(await rule.run());
  });

  it('where the ledger was read to its end, closed and trimmed, and messages follow in the next', async () => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    await rule.run();
    rule.partition.nextId = { ledgerId: 8, entryId: 0 };
    rule.partition.standsAt = { ledgerId: 8, entryId: -1 };
    expectNoMove(await rule.run());
    fill(rule.partition, 5);
    expectNoMove(await rule.run());
  });

  it('of a run that was killed between its last acknowledgement and its manifest', async () => {
    const rule = ruleOf(createFakeBroker(2));
    for (const partition of rule.broker.partitions) fill(partition, 5);
    await rule.run();
    for (const partition of rule.broker.partitions) fill(partition, 5);
    await rule.killedRun();
    expectNoMove(await rule.run());
  });

  it('of a killed run whose ledger was closed since, and is still there for a reader', async () => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    await rule.run();
    fill(rule.partition, 5);
    await rule.killedRun();
    rule.partition.standsAt = { ledgerId: 8, entryId: -1 };
    rule.partition.nextId = { ledgerId: 8, entryId: 0 };
    fill(rule.partition, 3);
    expectNoMove(await rule.run());
  });

  it('where what may have been passed over is gone with its ledger: nobody can know', async () => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    await rule.run();
    rule.partition.entries.length = 0;
    rule.partition.standsAt = { ledgerId: 8, entryId: -1 };
    rule.partition.nextId = { ledgerId: 8, entryId: 0 };
    fill(rule.partition, 3);
    expectNoMove(await rule.run());
  });

  it('of a killed run that ended with an entry kept raw', async () => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    await rule.run();
    fill(rule.partition, 2);
    publishUnreadable(rule.partition);
    await rule.killedRun();
    expectNoMove(await rule.run());
  });

  it('of a killed run in whose last object an entry was recovered since', async () => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    await rule.run();
    fill(rule.partition, 2);
    const metadata = { producerName: 'p', sequenceId: 1, publishTime: Date.now() };
    publishUnreadable(rule.partition, encodeEntry(metadata, Buffer.from('readable by now')));
    fill(rule.partition, 3);
    await rule.killedRun();
    const { outcomes } = await recoverArchive(rule.store, ENV.COS_PREFIX, {
      ...{ knowsMetadata: true, limitBytes: 1_000, rule: 'archive', parallel: 1, isDry: false },
      ...{ compression: 'none', clock: systemClock },
    });
    expect(outcomes).toMatchObject([{ outcome: 'recovered' }]);
    expectNoMove(await rule.run());
  });

  it('of a killed run on a Shared subscription, whose objects say that somebody was at work', async () => {
    const rule = ruleOf(createFakeBroker(1, { isInOrder: false }));
    fill(rule.partition, 5);
    await rule.run();
    fill(rule.partition, 5);
    await rule.killedRun();
    expectNoMove(await rule.run());
  });

  it('where another instance has ended behind the newest manifest, or is still at work', async () => {
    const rule = ruleOf(createFakeBroker(2));
    const [first, second] = rule.broker.partitions as [FakePartition, FakePartition];
    fill(first, 5);
    fill(second, 5);
    await rule.run();
    fill(second, 5);
    // It leaves its manifest while another one drains the second partition.
    fill(first, 5);
    const slow = createFakeSource(rule.broker);
    const overtaken: Source = {
      ...slow,
      open: async () => {
        const open = await slow.open();
        const positions = open === 'busy' ? undefined : open[1]?.positions?.();
        return open === 'busy'
          ? open
          : open.map((one, i) =>
              i === 0
                ? one
                : {
                    ...one,
                    end: null,
                    positions: () => ({ begin: positions?.begin, isBeginKnown: true, end: positions?.begin }),
                  },
            );
      },
    };
    expectNoMove(await rule.run());
    fill(first, 5);
    expectNoMove(await rule.run({ source: overtaken }));
    fill(second, 5);
    expectNoMove(await rule.run());
  });

  it('of another subscription, another topic, or another prefix', async () => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    await rule.run();
    fill(rule.partition, 10);
    skip(rule.partition, 5);
    expectNoMove(await rule.run({ env: { PULSAR_SUBSCRIPTION: 'other' } }));
    skip(rule.partition, 5);
    expectNoMove(await rule.run({ env: { PULSAR_TOPIC: 't/n/other' } }));
    expectNoMove(await rule.run({ env: { COS_PREFIX: 'q/' } }));
  });

  it('of a partition that was added', async () => {
    const rule = ruleOf(createFakeBroker(1));
    fill(rule.partition, 5);
    await rule.run();
    const added = createFakeBroker(2).partitions[1] as FakePartition;
    rule.broker.partitions.push(added);
    fill(added, 5);
    skip(added, 2);
    expectNoMove(await rule.run());
  });

  it('after a run of an older version, or of a driver that knows no positions', async () => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    const source = createFakeSource(rule.broker);
    const blind: Source = {
      ...source,
      open: async () => {
        const open = await source.open();
        return open === 'busy' ? open : open.map((one) => ({ ...one, positions: () => undefined }));
      },
    };
    expectNoMove(await rule.run({ source: blind }));
    fill(rule.partition, 5);
    skip(rule.partition, 2);
    expectNoMove(await rule.run());
  });
});

describe('the manifest', () => {
  it('names the newest one before it with its checksum, and where the subscription was', async () => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    const first = await rule.run();
    expect(first.manifest).not.toHaveProperty('previous');
    expect(first.manifest).toMatchObject({
      topic: 'persistent://t/n/orders',
      subscription: 'backup',
      subscriptionType: 'exclusive',
      positions: [{ partition: 0, begin: '7:-1', end: '7:4', last: '7:4' }],
    });
    const [key] = rule.manifests();
    const sha256 = createHash('sha256')
      .update(rule.store.objects.get(key as string)?.bytes ?? '')
      .digest('hex');
    fill(rule.partition, 5);
    const second = await rule.run();
    expect(second.manifest).toMatchObject({
      previous: { key, sha256 },
      positions: [{ begin: '7:4', end: '7:9' }],
    });
  });

  it('says in its key which days messages are of that are in objects of other dates, and since when keys say it', async () => {
    const rule = ruleOf();
    fill(rule.partition, 2);
    const first = await rule.run();
    const since = first.manifest?.['startedAt'];
    expect(first.manifest).toMatchObject({ spansInKeysSince: since });
    const nowMs = Date.now();
    for (const days of [0, -40, 1, -3, 0])
      publish(rule.partition, ['replicated'], { publishTimeMs: nowMs + days * 86_400_000 });
    const second = await rule.run();
    expect(second.manifest).toMatchObject({ spansInKeysSince: since });
    const day = (days: number) => new Date(nowMs + days * 86_400_000).toISOString().slice(0, 10);
    expect(rule.manifests().map((key) => key.replace(/.*-r-/, ''))).toEqual([
      '001.json',
      `002~${day(-40)}~${day(1)}.json`,
    ]);
    fill(rule.partition, 2);
    const third = await rule.run();
    expect(third.manifest).toMatchObject({ previous: { key: rule.manifests()[1] }, spansInKeysSince: since });
  });

  it.each([
    ['their MD5 as the list has it', true],
    ['no checksum where the ETags of the store are none', false],
  ])(
    'names those that other instances left beside the newest one, with %s and no request more',
    async (_, isMd5) => {
      const rule = ruleOf();
      const times = new Map<string, Date>();
      const { list } = rule.store;
      const etagOf = (bytes: string | Buffer) =>
        isMd5 ? createHash('md5').update(bytes).digest('hex') : '0'.repeat(32);
      // The store's clock: in the order in which manifests came to be.
      rule.store.list = async function* (prefix, options) {
        for await (const one of list(prefix, options)) {
          const lastModified = times.get(one.key) ?? new Date(1_000 * (times.size + 1));
          times.set(one.key, lastModified);
          yield { ...one, lastModified, etag: etagOf(rule.store.objects.get(one.key)?.bytes ?? '') };
        }
      };
      const listed = async () => {
        for await (const _ of rule.store.list(RUNS)) await undefined;
        return rule.manifests();
      };
      fill(rule.partition, 5);
      await rule.run();
      const [first] = await listed();
      // Two that run side by side have seen the same one.
      const copies = ['b', 'c'].map((name) => {
        const { bytes } = rule.store.objects.get(first as string) as { bytes: Buffer };
        const key = (first as string).replace('r-001', name);
        const manifest = {
          ...JSON.parse(bytes.toString()),
          requestId: name,
          previous: { key: first },
          beside: [],
        };
        rule.replace(key, Buffer.from(JSON.stringify(manifest)));
        return key;
      });
      await listed();
      fill(rule.partition, 5);
      const third = await rule.run();
      expect(third.manifest).toMatchObject({ previous: { key: copies[1] }, beside: [copies[0]] });
      const beside = copies[0] as string;
      const md5 = etagOf(rule.store.objects.get(beside)?.bytes ?? '');
      expect(third.manifest?.besideMd5).toEqual(isMd5 ? { [beside]: md5 } : undefined);
      expect(
        third.calls.filter((call) => call.includes('_runs/') && !call.startsWith('create')),
      ).toHaveLength(2);
      await listed();
      fill(rule.partition, 5);
      expect((await rule.run()).manifest).toMatchObject({ beside: [] });
    },
  );

  it('is one to archive ls and verify, also without objects', async () => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    await rule.run();
    fill(rule.partition, 5);
    skip(rule.partition, 5);
    expect((await rule.run()).manifest).toMatchObject({ storedObjects: [], moved: [{ to: '7:9' }] });
    const catalog = await readCatalog(rule.store, 'p/', {});
    expect(catalog).toMatchObject({ manifests: 2, badManifests: [], missing: [], foreign: [] });
    const check = createCatalogCheck('p/');
    for (const object of catalog.objects) check.add(object);
    expect(check.findings(catalog).filter(({ severity }) => severity === 'damage')).toEqual([]);
  });

  it('is looked for with one list and one read, and none is left where nothing happened', async () => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    await rule.run();
    const { calls, manifest } = await rule.run();
    expect(manifest).toBeUndefined();
    expect(calls.filter((call) => call.includes('_runs/'))).toEqual([
      `list ${RUNS}`,
      `read ${rule.manifests()[0]}`,
    ]);
  });

  it('is looked for with two lists before the first one, which an empty run does not leave', async () => {
    const rule = ruleOf();
    const { calls } = await rule.run();
    expect(calls.filter((call) => call.includes('_runs/'))).toEqual([`list ${RUNS}`, `list ${RUNS}`]);
    expect(rule.store.objects.size).toBe(0);
  });

  it('is left by a quiet rule every three hours, so that the next run finds one nearby', async () => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    const atMs = Date.now();
    const minutes = (count: number) => ({ atMs: atMs + count * 60_000 });
    await rule.run(minutes(0));
    expect((await rule.run(minutes(170))).manifest).toBeUndefined();
    const { manifest } = await rule.run(minutes(185));
    expect(manifest).toMatchObject({ storedObjects: [], positions: [{ end: '7:4' }] });
    const { calls } = await rule.run(minutes(190));
    expect(calls.filter((call) => call.includes('_runs/'))).toHaveLength(2);
  });

  it.each([7, 24, 24 * 30, 24 * 400])('is found by a rule that was paused for %i hours', async (hours) => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    await rule.run({ atMs: Date.now() - hours * 3_600_000 });
    fill(rule.partition, 10);
    skip(rule.partition, 4);
    expect((await rule.run()).moves).toMatchObject([{ from: '7:4', to: '7:8' }]);
  });

  it('is found after a long pause, and what a killed run stored behind it as well', async () => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    await rule.run({ atMs: Date.now() - 24 * 400 * 3_600_000 });
    fill(rule.partition, 10);
    await rule.killedRun();
    expectNoMove(await rule.run());
  });

  it.each(['archive-index', 'archive-recover'])('of %s is none of a run', async (requestId) => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    await rule.run();
    const key = rule.manifests()[0]?.replace(/r-001/, requestId) as string;
    rule.replace(key, Buffer.from('{}'));
    fill(rule.partition, 10);
    skip(rule.partition, 4);
    expect((await rule.run()).moves).toMatchObject([{ from: '7:4', to: '7:8' }]);
  });

  it.each([
    ['no JSON', Buffer.from('{"format":')],
    ['of another kind', Buffer.from('{"format":"x"}')],
    ['null', Buffer.from('null')],
    ['empty', Buffer.alloc(0)],
  ])('that is %s gives one warning, and the next one is whole again', async (_, bytes) => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    await rule.run();
    const key = rule.manifests()[0] as string;
    rule.replace(key, bytes);
    fill(rule.partition, 3);
    const { error, lines, manifest } = await rule.run();
    expect(error).toBeUndefined();
    expect(lines.filter(({ level }) => level === 'warn')).toMatchObject([
      { message: 'earlier runs not read' },
    ]);
    expect(manifest).toMatchObject({ previous: { key }, positions: [{ end: '7:7' }] });
    expectNoMove(await rule.run());
  });

  it.each(['list', 'read'])(
    'that may not be looked for (%s) gives one warning, and no failure',
    async (refused) => {
      const rule = ruleOf();
      fill(rule.partition, 5);
      await rule.run();
      fill(rule.partition, 5);
      rule.store.hook = (_, call, key) => {
        if (call === refused && key.startsWith(RUNS)) throw new BackupError('store', 'access denied');
      };
      const { summary, lines } = await rule.run();
      expect(summary).toMatchObject({ messages: 5 });
      expect(lines.filter(({ level }) => level === 'warn')).toMatchObject([
        { message: 'earlier runs not read', errorMessage: 'access denied' },
      ]);
    },
  );

  it('that does not come in time gives one warning, and the run does not wait for it', async () => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    await rule.run();
    fill(rule.partition, 5);
    rule.store.hook = (_, call, key) =>
      call === 'read' && key.startsWith(RUNS) ? new Promise(() => undefined) : undefined;
    const { summary, lines } = await rule.run();
    expect(summary).toMatchObject({ messages: 5, stopReason: 'caught_up' });
    expect(lines.filter(({ level }) => level === 'warn')).toMatchObject([
      { message: 'earlier runs not read' },
    ]);
  });

  it('is not waited for by a run that finds the subscription busy', async () => {
    const rule = ruleOf();
    rule.store.hook = (_, call) => (call === 'list' ? new Promise(() => undefined) : undefined);
    const source: Source = { driver: 'fake', open: async () => 'busy', close: async () => undefined };
    const outcome = await rule.run({ source });
    expectNoMove(outcome);
    expect(outcome.summary).toMatchObject({ stopReason: 'busy' });
  });

  it('that was left by a machine whose clock is ahead does not hide a later one', async () => {
    const rule = ruleOf();
    fill(rule.partition, 5);
    await rule.run({ atMs: Date.now() + 2 * 3_600_000 });
    fill(rule.partition, 5);
    expectNoMove(await rule.run());
    fill(rule.partition, 5);
    expectNoMove(await rule.run());
  });
});
