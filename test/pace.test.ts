// A slow store near the end of the time: what can be stored in time is stored and is in the manifest, the rest comes
// again, and the clock alone never fails a run that has stored something. In virtual time.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BackupError } from '../src/errors.ts';
import { formatMessageId } from '../src/format/record.ts';
import type { RunManifest, Summary } from '../src/format/run-manifest.ts';
import { handleInvocation } from '../src/handler.ts';
// Loaded before the clock runs, which does not wait for a run that loads them.
import '../src/partition/partition-drain.ts';
import '../src/run/schema-keeper.ts';
import { keepingLogger } from './fakes/loggers.ts';
import { createFakeBroker, createFakeSource, type FakeBroker, publish } from './fakes/memory-source.ts';
import { createMemoryStore, type MemoryStore } from './fakes/memory-store.ts';
import { virtualClock } from './pulsar/virtual-clock.ts';
import { expectAllStoredOnce, storedMessages } from './stage/memory-stage.ts';

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

interface Surroundings {
  readonly broker: FakeBroker;
  readonly store: MemoryStore;
  readonly timeLimitMs?: number;
  readonly reserveSeconds: number;
  readonly maxMessages: number;
  /** How long the nth creation takes. */
  readonly latencyMs: (nth: number) => number;
  readonly acknowledgementMs?: number;
  /** The broker does not answer who asks for its backlog. */
  readonly reportsNoBacklog?: boolean;
  /** How long the broker takes for an entry. */
  readonly receiveMs?: number;
  /** What a creation comes to, besides. */
  readonly onCreate?: (key: string, nth: number) => void;
}

interface Outcome {
  readonly summary: Summary | undefined;
  readonly error: BackupError | undefined;
  readonly durationMs: number;
  readonly manifest: RunManifest | undefined;
  readonly warnings: readonly string[];
  /** Creations that were begun in vain. */
  readonly cut: number;
}

let invocations = 0;

/** One invocation, its manifest, and how long it took. */
async function invoke(surroundings: Surroundings): Promise<Outcome> {
  const {
    broker,
    store,
    latencyMs,
    onCreate,
    timeLimitMs = 60_000,
    acknowledgementMs = 20,
    receiveMs = 0,
  } = surroundings;
  const clock = virtualClock();
  const logger = keepingLogger();
  const before = new Set(store.objects.keys());
  let creations = 0;
  broker.hook = (call) => {
    if (call === 'acknowledge') return clock.sleep(acknowledgementMs);
    if (call === 'backlog' && surroundings.reportsNoBacklog) return new Promise<never>(() => undefined);
    return call === 'next' && receiveMs > 0 ? clock.sleep(receiveMs) : undefined;
  };
  store.hook = async (when, call, key) => {
    if (call !== 'create' || when !== 'before') return;
    const nth = ++creations;
    await clock.sleep(latencyMs(nth));
    onCreate?.(key, nth);
  };
  const env = {
    ...ENV,
    RUN_RESERVE_SECONDS: String(surroundings.reserveSeconds),
    FILE_MAX_MESSAGES: String(surroundings.maxMessages),
  };
  const context = {
    request_id: `req-${++invocations}`,
    time_limit_in_ms: timeLimitMs,
    memory_limit_in_mb: 512,
  };
  const startedAtMs = clock.now();
  let summary: Summary | undefined;
  let error: BackupError | undefined;
  try {
    summary = await handleInvocation(env, context, {
      clock,
      createStore: () => store,
      createSource: async () => createFakeSource(broker),
      createLogger: () => logger,
    });
  } catch (thrown) {
    if (!(thrown instanceof BackupError)) throw thrown;
    error = thrown;
  } finally {
    broker.hook = undefined;
    store.hook = undefined;
  }
  const created = [...store.objects.keys()].filter((one) => !before.has(one));
  const key = created.find((one) => one.includes('_runs/'));
  return {
    summary,
    error,
    durationMs: clock.now() - startedAtMs,
    manifest: key && JSON.parse(store.objects.get(key)?.bytes.toString() ?? ''),
    cut: creations - created.length,
    warnings: logger.lines.filter(({ level }) => level === 'warn').map(({ message }) => message),
  };
}

function published(partitions: number, messages: number): { broker: FakeBroker; store: MemoryStore } {
  const broker = createFakeBroker(partitions);
  for (const partition of broker.partitions) {
    for (let i = 0; i < messages; i++) publish(partition, [`${i}`]);
  }
  return { broker, store: createMemoryStore() };
}

const acknowledgedIds = ({ partitions }: FakeBroker) =>
  partitions.flatMap(({ entries, acknowledged }) =>
    entries.flatMap((entry) =>
      entry.kind === 'entry' && acknowledged.has(`${entry.id.ledgerId}:${entry.id.entryId}`)
        ? entry.messages.map(({ id }) => formatMessageId(id))
        : [],
    ),
  );
const jsonl = (store: MemoryStore) => [...store.objects.keys()].filter((key) => key.endsWith('.jsonl'));

describe('a store that is slow', () => {
  it.each([700, 1_500])(
    '64 partitions, %i ms a creation, 4 s in reserve: each run is a success that leaves its manifest',
    async (latencyMs) => {
      const { broker, store } = published(64, 20);
      const listed = new Set<string>();
      for (let runs = 1; broker.backlog() > 0; runs++) {
        const outcome = await invoke({
          ...{ broker, store },
          ...{ reserveSeconds: 4, maxMessages: 2, latencyMs: () => latencyMs },
        });
        // Nothing is begun that would be cut.
        expect(outcome).toMatchObject({ error: undefined, warnings: [], cut: 0 });
        expect(outcome.durationMs).toBeLessThan(60_000 - 2_000);
        for (const { key } of outcome.manifest?.storedObjects ?? []) listed.add(key);
        expect(jsonl(store).filter((key) => !listed.has(key))).toEqual([]);
        // Six at once, and little of the time is wasted.
        const mostObjects = (6 * 60_000) / latencyMs;
        if (broker.backlog() > 0) expect(outcome.summary?.objects).toBeGreaterThan(0.8 * mostObjects);
        expect(runs).toBeLessThan(5);
      }
      expectAllStoredOnce(broker, store);
    },
  );

  it('stops reading in time to store all that is open, where the reserve is too short for that', async () => {
    const { broker, store } = published(40, 100);
    broker.partitions[0]?.entries.splice(2);
    // One file is stored early, and shows how slow the store is; the others are open to the end.
    const outcome = await invoke({
      broker,
      store,
      reserveSeconds: 4,
      maxMessages: 5_000,
      receiveMs: 1_000,
      latencyMs: () => 700,
    });
    expect(outcome.summary).toMatchObject({ stopReason: 'deadline', objects: 40 });
    expect(outcome).toMatchObject({ error: undefined, warnings: [] });
    expect(outcome.manifest?.storedObjects).toHaveLength(40);
    expect(acknowledgedIds(broker)).toHaveLength(storedMessages(store).size);
    expect(storedMessages(store).size).toBeGreaterThan(39 * 35);
  });

  it('for once, at the begin, does not end the run', async () => {
    const { broker, store } = published(4, 100);
    const latencyMs = (nth: number) => (nth === 1 ? 20_000 : 50);
    const outcome = await invoke({ broker, store, reserveSeconds: 15, maxMessages: 10, latencyMs });
    expect(outcome).toMatchObject({ error: undefined, warnings: [], summary: { stopReason: 'caught_up' } });
    expect(broker.backlog()).toBe(0);
  });

  it('that never answers is cut, and a run that stored nothing fails', async () => {
    const { broker, store } = published(3, 10);
    const never = await invoke({ broker, store, reserveSeconds: 4, maxMessages: 5, latencyMs: () => 1e9 });
    expect(never.error).toMatchObject({
      code: 'store',
      message: expect.stringContaining('before a single file'),
    });
    expect(broker.backlog()).toBe(30);
  });

  it('from one moment on: what was stored before is in the manifest, and the run is a success', async () => {
    const { broker, store } = published(8, 100);
    const latencyMs = (nth: number) => (nth < 100 ? 400 : 3_000);
    const outcome = await invoke({ broker, store, reserveSeconds: 15, maxMessages: 2, latencyMs });
    expect(outcome).toMatchObject({ error: undefined, warnings: [], summary: { stopReason: 'deadline' } });
    const listed = outcome.manifest?.storedObjects.reduce((sum, { messages }) => sum + messages, 0);
    expect(acknowledgedIds(broker)).toHaveLength(listed ?? 0);
  });
});

describe('an acknowledgement', () => {
  it('for which the broker had no time is its fault in no way: the next run finds what was stored', async () => {
    const { broker, store } = published(1, 1);
    const slow = { latencyMs: () => 1_863, acknowledgementMs: 400, timeLimitMs: 3_000 };
    const outcome = await invoke({ broker, store, reserveSeconds: 2, maxMessages: 1, ...slow });
    expect(outcome).toMatchObject({ error: undefined, summary: { stopReason: 'deadline', objects: 1 } });
    expect(broker.backlog()).toBe(1);
    const next = await invoke({ broker, store, reserveSeconds: 2, maxMessages: 1, latencyMs: () => 100 });
    expect(next.summary).toMatchObject({ stopReason: 'caught_up', alreadyStored: 1 });
    expectAllStoredOnce(broker, store);
  });

  it('for which it had time fails the run', async () => {
    const { broker, store } = published(1, 1);
    const mute = { latencyMs: () => 100, acknowledgementMs: 1e9 };
    const outcome = await invoke({ broker, store, reserveSeconds: 4, maxMessages: 1, ...mute });
    expect(outcome.error).toMatchObject({
      code: 'source',
      message: expect.stringContaining('did not confirm'),
    });
  });
});

describe('a manifest', () => {
  const options = { reserveSeconds: 4, maxMessages: 10 };

  it('gets its time also where the broker does not report what is left', async () => {
    const { broker, store } = published(8, 200);
    const slow = { latencyMs: () => 2_500, reportsNoBacklog: true };
    const outcome = await invoke({ ...options, ...slow, broker, store, maxMessages: 5 });
    expect(outcome).toMatchObject({ error: undefined, warnings: [], summary: { stopReason: 'deadline' } });
    expect(outcome.manifest).toBeDefined();
  });

  it('for which the time was too short is reported as a warning: what is stored is safe', async () => {
    const { broker, store } = published(2, 10);
    let manifests = 0;
    const outcome = await invoke({
      ...options,
      ...{ broker, store },
      latencyMs: (nth) => (nth > 2 ? 100_000 : 100),
      onCreate: (key) => {
        if (key.includes('_runs/')) manifests++;
      },
    });
    expect(outcome).toMatchObject({ error: undefined, warnings: ['run manifest not stored'] });
    expect(outcome.summary).toMatchObject({ messages: 20 });
    expect(manifests).toBe(0);
    expect(broker.backlog()).toBe(0);
  });

  it.each([false, true])(
    'that COS refuses fails the run, also where that lasts until its end (%s)',
    async (lasts) => {
      const { broker, store } = published(2, 10);
      const outcome = await invoke({
        ...options,
        ...{ broker, store },
        timeLimitMs: 6_000,
        latencyMs: () => 100,
        onCreate: (key) => {
          if (key.includes('_runs/')) throw new BackupError('store', 'refused', { retryable: lasts });
        },
      });
      expect(outcome.error).toMatchObject({ message: 'refused' });
      expect(broker.backlog()).toBe(0);
    },
  );

  it('that COS refuses once, and is too slow for then, fails the run with the refusal', async () => {
    const { broker, store } = published(2, 10);
    const outcome = await invoke({
      ...options,
      ...{ broker, store },
      latencyMs: (nth) => (nth > 3 ? 100_000 : 100),
      onCreate: (key) => {
        if (key.includes('_runs/')) throw new BackupError('store', 'COS is busy', { retryable: true });
      },
    });
    expect(outcome.error).toMatchObject({ message: 'COS is busy' });
  });
});

describe('the clock alone', () => {
  it('fails no run that has stored something, whatever the latency, the reserve and the number of files', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          partitions: fc.integer({ min: 1, max: 40 }),
          messages: fc.integer({ min: 1, max: 20 }),
          maxMessages: fc.integer({ min: 1, max: 40 }),
          reserveSeconds: fc.integer({ min: 1, max: 60 }),
          timeLimitMs: fc.constantFrom(3_000, 10_000, 60_000, 300_000),
          latencyMs: fc.integer({ min: 50, max: 3_000 }),
          jitter: fc.constantFrom(0, 0.3, 0.9),
          acknowledgementMs: fc.constantFrom(0, 5, 200),
          seed: fc.nat(),
        }),
        async ({ partitions, messages, latencyMs, jitter, seed, ...rest }) => {
          const { broker, store } = published(partitions, messages);
          const latency = (nth: number) => {
            const random = (Math.sin(seed + nth * 12.9898) * 43_758.5453) % 1;
            return latencyMs * (1 + jitter * random);
          };
          const outcome = await invoke({ broker, store, latencyMs: latency, ...rest });
          expect(outcome.durationMs).toBeLessThan(rest.timeLimitMs);
          const objects = jsonl(store);
          if (outcome.error !== undefined) expect(outcome.error.message).toContain('before a single file');
          const listed = (outcome.manifest?.storedObjects ?? []).map(({ key }) => key);
          const stored = storedMessages(store);
          for (const id of acknowledgedIds(broker)) expect(stored.has(id)).toBe(true);
          if (outcome.manifest === undefined && acknowledgedIds(broker).length > 0) {
            expect(outcome.warnings).toContain('run manifest not stored');
            // Only a run that had hardly any time does not get so far.
            expect(rest.timeLimitMs / latencyMs).toBeLessThan(8);
          }
          if (outcome.manifest !== undefined) {
            const inManifest = outcome.manifest.storedObjects.reduce((sum, one) => sum + one.messages, 0);
            expect(acknowledgedIds(broker).length).toBeLessThanOrEqual(inManifest);
            for (const key of listed) expect(objects).toContain(key);
          }
          await invoke({
            broker,
            store,
            latencyMs: () => 1,
            reserveSeconds: 15,
            maxMessages: rest.maxMessages,
            timeLimitMs: 900_000,
          });
          expectAllStoredOnce(broker, store);
          expect(broker.backlog()).toBe(0);
        },
      ),
      { numRuns: 40 },
    );
  }, 120_000);
});
