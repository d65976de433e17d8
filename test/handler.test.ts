import { describe, expect, it, vi } from 'vitest';
import type { RuleConfig } from '../src/config.ts';
import { BackupError } from '../src/errors.ts';
import { type HandlerParts, handleInvocation } from '../src/handler.ts';
import { systemClock } from '../src/lib/clock.ts';
import { createLogger } from '../src/logger.ts';
import type { ObjectStore, Source } from '../src/ports.ts';
import type { SourceOptions } from '../src/pulsar/source-options.ts';
import {
  createFakeBroker,
  createFakeSource,
  type FakeBroker,
  type FakePartition,
  publish,
} from './fakes/memory-source.ts';
import { createMemoryStore, type MemoryStore } from './fakes/memory-store.ts';
import { virtualClock } from './pulsar/virtual-clock.ts';
import { storedMessages } from './stage/memory-stage.ts';

const ENV = {
  RULE_NAME: 'orders-backup',
  PULSAR_SERVICE_URL: 'pulsar://127.0.0.1:6650',
  PULSAR_TOPIC: 't/n/orders',
  PULSAR_SUBSCRIPTION: 'backup',
  PULSAR_TOKEN: 'the-pulsar-token',
  COS_BUCKET: 'archive-1250000000',
  COS_REGION: 'ap-guangzhou',
  COS_PREFIX: 'p/',
  TENCENTCLOUD_SECRETID: 'the-secret-id',
  TENCENTCLOUD_SECRETKEY: 'the-secret-key',
  TENCENTCLOUD_SESSIONTOKEN: 'the-session-token',
};
const CONTEXT = { request_id: 'req-1', time_limit_in_ms: 60_000, memory_limit_in_mb: 256 };

interface Outside {
  broker: FakeBroker;
  store: MemoryStore;
  lines: Record<string, unknown>[];
  configs: RuleConfig[];
  closed: string[];
  parts: HandlerParts;
}

function outside(
  overrides: { source?: (options: SourceOptions) => Source; clock?: HandlerParts['clock'] } = {},
): Outside {
  const broker = createFakeBroker(2);
  const store = createMemoryStore();
  const lines: Record<string, unknown>[] = [];
  const configs: RuleConfig[] = [];
  const closed: string[] = [];
  const parts: HandlerParts = {
    clock: overrides.clock ?? systemClock,
    createStore: (config): ObjectStore => {
      configs.push(config);
      return { ...store, close: async () => void closed.push('store') };
    },
    createSource: async (options) => {
      const source = overrides.source?.(options) ?? createFakeSource(broker);
      return { ...source, close: async () => void closed.push('source') };
    },
    createLogger: (options) =>
      createLogger({
        ...options,
        destination: { write: (line: string) => void lines.push(JSON.parse(line)) },
      }),
  };
  return { broker, store, lines, configs, closed, parts };
}

function fill(broker: FakeBroker): void {
  for (const partition of broker.partitions) for (let i = 0; i < 5; i++) publish(partition, [`message ${i}`]);
}

describe('an invocation', () => {
  it('says how much memory it needs where the function has too little, before it connects to anything', async () => {
    const { parts, closed, lines } = outside();
    await expect(handleInvocation(ENV, { ...CONTEXT, memory_limit_in_mb: 64 }, parts)).rejects.toMatchObject({
      code: 'config',
      message: expect.stringContaining('64 MB'),
      hint: expect.stringContaining('128 MB'),
    });
    expect(closed).toEqual([]);
    expect(lines.map(({ message }) => message)).toEqual(['run failed']);
  });

  it('drains the subscription, returns the summary and logs it as its last line', async () => {
    const { broker, store, lines, closed, parts } = outside();
    fill(broker);
    const summary = await handleInvocation(ENV, CONTEXT, parts);
    expect(summary).toEqual({
      rule: 'orders-backup',
      requestId: 'req-1',
      startedAt: expect.stringMatching(/^\d{4}-\d{2}-\d{2}T[\d:.]+Z$/),
      durationMs: expect.any(Number),
      stopReason: 'caught_up',
      messages: 10,
      recordBytes: expect.any(Number),
      objects: 2,
      alreadyStored: 0,
      unreadable: 0,
      backlog: { entries: 0 },
      partitions: 2,
    });
    expect(lines.map(({ message }) => message)).toEqual([
      'run started',
      'object stored',
      'object stored',
      'run finished',
    ]);
    for (const line of lines)
      expect(line).toMatchObject({ rule: 'orders-backup', requestId: 'req-1', level: 'info' });
    expect(lines.at(-1)).toMatchObject({ stopReason: 'caught_up', messages: 10, objects: 2 });
    expect(lines[1]).toMatchObject({
      messages: 5,
      rollReason: 'end',
      bytes: expect.any(Number),
      durationMs: expect.any(Number),
    });
    expect(closed).toContain('source');
    expect(closed).toContain('store');
    expect(store.objects.size).toBe(3);
  });

  it.each([
    ['an hour ahead', 3_600_000],
    ['an hour back', -3_600_000],
  ])('goes on evenly while the clock of its machine is set %s', async (_, byMs) => {
    const { broker, parts } = outside();
    const { clock: _ofTests, ...real } = parts;
    fill(broker);
    const startedMs = Date.now();
    const isSet = () => Math.abs(Date.now() - startedMs) > 1_000_000;
    broker.hook = (call) => {
      if (call !== 'next' || isSet()) return;
      vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + byMs });
    };
    try {
      const summary = await handleInvocation(ENV, CONTEXT, real);
      expect(isSet()).toBe(true);
      expect(summary).toMatchObject({ stopReason: 'caught_up', messages: 10 });
      expect(summary.durationMs).toBeGreaterThanOrEqual(0);
      expect(summary.durationMs).toBeLessThan(CONTEXT.time_limit_in_ms);
    } finally {
      vi.useRealTimers();
    }
  });

  it('leaves a manifest with one entry per object, after everything is acknowledged', async () => {
    const { broker, store, closed, parts } = outside();
    fill(broker);
    store.hook = (when, call, key) => {
      if (when !== 'before' || call !== 'create' || !key.includes('_runs/')) return;
      // A driver without receipts has acknowledged all only when it is closed.
      expect(closed).toEqual(['source']);
      expect(broker.backlog()).toBe(0);
    };
    const summary = await handleInvocation(ENV, CONTEXT, parts);
    const key = [...store.objects.keys()].find((one) => one.startsWith('p/_runs/'));
    expect(key).toMatch(/^p\/_runs\/rule=orders-backup\/date=\d{4}-\d{2}-\d{2}\/\d{8}T\d{9}Z-req-1\.json$/);
    const manifest = JSON.parse(store.objects.get(key as string)?.bytes.toString() as string);
    expect(manifest).toMatchObject({
      format: 'tdmq-backup-run/1',
      stopReason: 'caught_up',
      messages: 10,
      objects: 2,
    });
    expect(manifest.rule).toBe(summary.rule);
    expect(manifest.storedObjects).toHaveLength(2);
    for (const object of manifest.storedObjects) {
      const stored = store.objects.get(object.key);
      expect(object).toMatchObject({
        messages: 5,
        size: stored?.bytes.length,
        crc64: stored?.crc64,
        sha256: stored?.metadata['sha256'],
        alreadyStored: false,
      });
      expect(object.recordBytes).toBe(object.size);
      expect(object.firstId).toMatch(/^7:0:\d:-1$/);
      expect(object.lastId).toMatch(/^7:4:\d:-1$/);
    }
  });

  it('fails when the manifest cannot be stored, with the messages safe and acknowledged', async () => {
    const { broker, store, lines, parts } = outside();
    fill(broker);
    store.hook = (when, call, key) => {
      if (when === 'before' && call === 'create' && key.includes('_runs/'))
        throw new BackupError('store', 'denied');
    };
    await expect(handleInvocation(ENV, CONTEXT, parts)).rejects.toThrow('denied');
    expect(broker.backlog()).toBe(0);
    expect(lines.at(-1)).toMatchObject({ message: 'run failed', level: 'error', messages: 10 });
  });

  it('plans with the time that SCF says is left, where it says so', async () => {
    const { lines, parts } = outside();
    await handleInvocation(ENV, { ...CONTEXT, getRemainingTimeInMillis: () => 40_000 }, parts);
    expect(lines[0]).toMatchObject({ message: 'run started', readingMs: 25_000 });
  });

  it('reads for half of its time at least, however much is to be kept in reserve', async () => {
    const { lines, parts } = outside();
    await handleInvocation({ ...ENV, RUN_RESERVE_SECONDS: '600' }, CONTEXT, parts);
    expect(lines[0]).toMatchObject({ message: 'run started', readingMs: 30_000 });
  });

  it.each([
    [
      '3 s',
      { time_limit_in_ms: 3_000 },
      /a run has 3 s, .* reads for half of them/,
      /timeout in serverless.yml/,
    ],
    ['128 MB', { memory_limit_in_mb: 128 }, /has 128 MB, .*more than 6 MiB/, /memorySize in serverless.yml/],
  ])(
    'says that it has %s, which is what SCF gives where nobody chose, and stores what it can',
    async (_, limits, reason, hint) => {
      const { broker, lines, parts } = outside();
      fill(broker);
      await handleInvocation(ENV, { ...CONTEXT, ...limits }, parts);
      expect(lines.filter(({ level }) => level === 'warn')).toMatchObject([
        {
          message: 'function limit low',
          reason: expect.stringMatching(reason),
          hint: expect.stringMatching(hint),
        },
      ]);
      expect(broker.backlog()).toBe(0);
    },
  );

  it('says nothing of limits that somebody chose, nor at a shell', async () => {
    const { lines, parts } = outside();
    await handleInvocation(ENV, { ...CONTEXT, time_limit_in_ms: 30_000, memory_limit_in_mb: 256 }, parts);
    await handleInvocation(ENV, { ...CONTEXT, time_limit_in_ms: 3_000 }, { ...parts, runsFrom: 'shell' });
    expect(lines.map(({ message }) => message)).not.toContain('function limit low');
  });

  it('leaves no object and one summary line when there is nothing to do', async () => {
    const { store, lines, parts } = outside();
    await handleInvocation(ENV, CONTEXT, parts);
    expect(store.objects.size).toBe(0);
    expect(lines.map(({ message }) => message)).toEqual(['run started', 'run finished']);
  });

  it('ends as a success with stopReason busy when somebody else has the subscription', async () => {
    const { lines, parts } = outside({
      source: () => ({ driver: 'fake', open: async () => 'busy', close: async () => undefined }),
    });
    await expect(handleInvocation(ENV, CONTEXT, parts)).resolves.toMatchObject({
      stopReason: 'busy',
      partitions: 0,
    });
    expect(lines.at(-1)).toMatchObject({ message: 'run finished', stopReason: 'busy' });
  });

  it('starts clean each time, with the credentials of that time', async () => {
    const { broker, configs, parts } = outside();
    fill(broker);
    await handleInvocation(ENV, CONTEXT, parts);
    fill(broker);
    const env = { ...ENV, TENCENTCLOUD_SECRETKEY: 'the-next-key' };
    const second = await handleInvocation(env, { ...CONTEXT, request_id: 'req-2' }, parts);
    expect(second).toMatchObject({ requestId: 'req-2', messages: 10 });
    expect(configs.map(({ cos }) => cos.credentials.secretKey.reveal())).toEqual([
      'the-secret-key',
      'the-next-key',
    ]);
  });
});

describe('an invocation that fails', () => {
  it('before it has begun leaves no timer: the instance would be kept from being frozen', async () => {
    let timers = 0;
    const clock = {
      now: Date.now,
      sleep: (_ms: number, signal?: AbortSignal) =>
        new Promise<void>((_, reject) => {
          timers++;
          signal?.addEventListener('abort', () => {
            timers--;
            reject(signal.reason);
          });
        }),
    };
    const { parts } = outside({ clock });
    const context = { ...CONTEXT, memory_limit_in_mb: 64 };
    await expect(handleInvocation(ENV, context, parts)).rejects.toMatchObject({ code: 'config' });
    expect(timers).toBe(0);
  });

  it('with wrong settings reports all of them and connects to nothing', async () => {
    const { lines, configs, parts } = outside({
      source: () => {
        throw new Error('must not be made');
      },
    });
    const env = { ...ENV, PULSAR_TOPIC: 'x', COS_PREFIX: 'x' };
    await expect(handleInvocation(env, CONTEXT, parts)).rejects.toMatchObject({ code: 'config' });
    expect(configs).toEqual([]);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ message: 'run failed', rule: 'orders-backup', errorCode: 'config' });
    expect(lines[0]?.['errorMessage']).toMatch(/PULSAR_TOPIC.*COS_PREFIX/);
  });

  it('for want of its driver asks the store for nothing', async () => {
    const { parts, store } = outside({
      source: () => {
        throw new BackupError('config', 'the driver is not installed');
      },
    });
    await expect(handleInvocation(ENV, CONTEXT, parts)).rejects.toMatchObject({ code: 'config' });
    expect(store.calls).toEqual([]);
  });

  it('logs what, where and what to do, closes everything, and throws', async () => {
    const { lines, closed, parts } = outside({
      source: () => ({
        driver: 'fake',
        open: async () => {
          throw new BackupError('source', 'no broker answers at 127.0.0.1:6650', {
            hint: 'Check PULSAR_SERVICE_URL.',
          });
        },
        close: async () => undefined,
      }),
    });
    await expect(handleInvocation(ENV, CONTEXT, parts)).rejects.toThrow('no broker answers');
    expect(lines.at(-1)).toMatchObject({
      message: 'run failed',
      level: 'error',
      errorCode: 'source',
      errorMessage: 'no broker answers at 127.0.0.1:6650',
      hint: 'Check PULSAR_SERVICE_URL.',
      stopReason: 'failed',
    });
    expect(closed).toEqual(expect.arrayContaining(['source', 'store']));
  });

  it('leaves a manifest of what it stored before, and fails with the first reason', async () => {
    const { broker, store, parts } = outside();
    fill(broker);
    broker.hook = (call, partition) => {
      if (call === 'next' && partition.partition === 1) throw new BackupError('source', 'the topic is gone');
    };
    await expect(handleInvocation(ENV, CONTEXT, parts)).rejects.toThrow('the topic is gone');
    const key = [...store.objects.keys()].find((one) => one.startsWith('p/_runs/')) as string;
    expect(JSON.parse(store.objects.get(key)?.bytes.toString() as string)).toMatchObject({
      stopReason: 'failed',
      messages: 5,
    });
    // Cleaning up after others has time until a run is well.
    expect(store.calls.filter((call) => call.startsWith('listUploads'))).toEqual([]);
  });

  it.each([
    [60_000, '15'],
    [6_000, '15'],
    [6_000, '1'],
    [2_000, '1'],
  ])(
    'returns before a limit of %i ms with %s s in reserve, also when something hangs for ever',
    async (limitMs, reserve) => {
      let now = 0;
      const clock = {
        now: () => now,
        sleep: async (ms: number, signal?: AbortSignal) => {
          await new Promise((resolve) => setTimeout(resolve, 5));
          if (signal?.aborted) throw signal.reason;
          now = Math.max(now, ms);
        },
      };
      const { parts } = outside({
        clock,
        source: () => ({
          driver: 'fake',
          open: () => new Promise(() => undefined),
          close: async () => undefined,
        }),
      });
      const env = { ...ENV, RUN_RESERVE_SECONDS: reserve };
      const context = { ...CONTEXT, time_limit_in_ms: limitMs };
      await expect(handleInvocation(env, context, parts)).rejects.toThrow('did not end within its time');
      expect(now).toBeLessThan(limitMs);
    },
  );

  it('names what COS said last where the time was over before a single file could be stored', async () => {
    const { broker, store, lines, parts } = outside();
    fill(broker);
    store.hook = async (when, call) => {
      if (when === 'before' && call === 'create')
        throw new BackupError('store', 'COS is busy', { retryable: true });
    };
    const context = { ...CONTEXT, time_limit_in_ms: 1_000 };
    await expect(handleInvocation(ENV, context, parts)).rejects.toMatchObject({ message: 'COS is busy' });
    expect(lines.at(-1)).toMatchObject({ message: 'run failed', errorMessage: 'COS is busy' });
  });

  it('ends what waits for Pulsar when its time is over, and says so in its words', async () => {
    const waiting = ({ signal }: SourceOptions): Source => ({
      driver: 'fake',
      open: () =>
        new Promise((_, reject) => {
          signal?.addEventListener('abort', () => reject(new BackupError('source', 'nobody answered')));
        }),
      close: async () => undefined,
    });
    const { parts } = outside({ source: waiting });
    const context = { ...CONTEXT, time_limit_in_ms: 1_000 };
    await expect(handleInvocation(ENV, context, parts)).rejects.toMatchObject({ message: 'nobody answered' });
  });

  it('prints no secret, whatever happens', async () => {
    const { lines, parts } = outside({
      source: ({ config }) => {
        throw new BackupError('source', `refused ${config.token?.reveal()} the-secret-key the-session-token`);
      },
    });
    await expect(handleInvocation(ENV, CONTEXT, parts)).rejects.toThrow();
    expect(JSON.stringify(lines)).not.toMatch(/the-(pulsar-token|secret-key|session-token|secret-id)/);
  });
});

describe('unfinished uploads of killed runs', () => {
  it('are aborted when they are older than any function may live, under the own topic only', async () => {
    const { broker, store, parts } = outside();
    fill(broker);
    const old = new Date(Date.now() - 901_000);
    const young = new Date(Date.now() - 60_000);
    store.uploads.set('old', { key: 'p/t/n/orders/date=2026-11-23/partition=0/x.jsonl', initiated: old });
    store.uploads.set('young', { key: 'p/t/n/orders/date=2026-11-23/partition=0/y.jsonl', initiated: young });
    store.uploads.set('other', { key: 'p/t/n/other/date=2026-11-23/partition=0/x.jsonl', initiated: old });
    await handleInvocation(ENV, CONTEXT, parts);
    expect([...store.uploads.keys()]).toEqual(['young', 'other']);
  });

  it.each([3_600_000, -3_600_000])(
    'are as old as the store says, whatever our own clock does (%i ms ahead)',
    async (aheadMs) => {
      const clock = { ...systemClock, now: () => Date.now() + aheadMs };
      const { broker, store, parts } = outside({ clock });
      fill(broker);
      const key = 'p/t/n/orders/date=2026-11-23/partition=0/x.jsonl';
      store.uploads.set('old', { key, initiated: new Date(Date.now() - 901_000) });
      store.uploads.set('alive', { key, initiated: new Date(Date.now() - 60_000) });
      await handleInvocation(ENV, CONTEXT, parts);
      expect([...store.uploads.keys()]).toEqual(['alive']);
    },
  );

  it('are left alone while somebody else is at work on the subscription', async () => {
    const { store, parts } = outside({
      source: () => ({ driver: 'fake', open: async () => 'busy', close: async () => undefined }),
    });
    const key = 'p/t/n/orders/date=2026-11-23/partition=0/x.jsonl';
    store.uploads.set('of a long run', { key, initiated: new Date(Date.now() - 901_000) });
    await handleInvocation(ENV, CONTEXT, parts);
    expect(store.uploads.size).toBe(1);
  });

  it('are none of a run that is at work for hours, whoever else ends a run meanwhile', async () => {
    const clock = virtualClock();
    const { broker, store, lines, parts } = outside({ clock });
    store.now = () => new Date(clock.now());
    const [busy] = broker.partitions;
    // More than a part, and then a little every few seconds: no limit closes the file, and it never is idle.
    for (let i = 0; i < 9; i++) publish(busy as FakePartition, [Buffer.alloc(1_048_576, 0x61)]);
    for (let i = 0; i < 1_000; i++) publish(busy as FakePartition, [`${i}`]);
    const other = outside({ clock });
    const otherParts = { ...other.parts, createStore: () => store };
    let receives = 0;
    broker.hook = async (call) => {
      if (call !== 'next') return;
      await clock.sleep(4_000);
      if (++receives % 50 === 0) await handleInvocation(ENV, CONTEXT, otherParts);
    };
    const context = { ...CONTEXT, time_limit_in_ms: 7_200_000 };
    await handleInvocation(ENV, context, parts);
    expect(lines.filter(({ level }) => level === 'warn' || level === 'error')).toEqual([]);
    expect(lines.filter(({ rollReason }) => rollReason === 'age')).toHaveLength(1);
    expect(storedMessages(store).size).toBe(1_009);
    expect(store.uploads.size).toBe(0);
  });

  it('are left with a warning where the role may not list them', async () => {
    const { broker, store, lines, parts } = outside();
    fill(broker);
    store.hook = (_, call) => {
      if (call === 'listUploads') throw new BackupError('store', 'access denied');
    };
    await expect(handleInvocation(ENV, CONTEXT, parts)).resolves.toMatchObject({ messages: 10 });
    expect(lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
  });

  it('looks for unfinished uploads while the manifest is on its way', async () => {
    const { broker, store, lines, parts } = outside();
    fill(broker);
    let hasLooked!: () => void;
    const looked = new Promise<void>((resolve) => {
      hasLooked = resolve;
    });
    store.hook = async (when, call, key) => {
      if (when === 'after' && call === 'listUploads') hasLooked();
      if (when === 'before' && call === 'create' && key.startsWith('p/_runs/')) await looked;
    };
    await expect(handleInvocation(ENV, CONTEXT, parts)).resolves.toMatchObject({ messages: 10 });
    expect(lines.filter(({ level }) => level === 'warn')).toEqual([]);
  });
});
