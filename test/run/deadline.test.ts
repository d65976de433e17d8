// The time runs out at each call that a run makes, whichever that is: one after the other, on a clock that the test
// moves. What is acknowledged is stored then, the invocation ends, and the next one goes on from there.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { BackupError } from '../../src/errors.ts';
import { formatMessageId } from '../../src/format/record.ts';
import type { Summary } from '../../src/format/run-manifest.ts';
import { type HandlerParts, handleInvocation } from '../../src/handler.ts';
import { silentLogger } from '../fakes/loggers.ts';
import { createFakeBroker, createFakeSource, type FakeBroker, publish } from '../fakes/memory-source.ts';
import { createMemoryStore, type MemoryStore } from '../fakes/memory-store.ts';
import { publishedMessages, storedMessages } from '../stage/memory-stage.ts';

const LIMIT_MS = 60_000;
const ENV = {
  RULE_NAME: 'orders-backup',
  PULSAR_SERVICE_URL: 'pulsar://127.0.0.1:6650',
  PULSAR_TOPIC: 't/n/orders',
  PULSAR_SUBSCRIPTION: 'backup',
  COS_BUCKET: 'archive-1250000000',
  COS_REGION: 'ap-guangzhou',
  COS_PREFIX: 'p/',
  FILE_MAX_MESSAGES: '4',
  TENCENTCLOUD_SECRETID: 'the-secret-id',
  TENCENTCLOUD_SECRETKEY: 'the-secret-key',
};
const CONTEXT = { request_id: 'req-1', time_limit_in_ms: LIMIT_MS, memory_limit_in_mb: 256 };

/** A clock that stands still until it is set. */
function stoppedClock() {
  let nowMs = 0;
  let timers: { atMs: number; ring: () => void }[] = [];
  return {
    now: () => nowMs,
    sleep: (ms: number, signal?: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        if (signal?.aborted) reject(signal.reason);
        const timer = { atMs: nowMs + ms, ring: resolve };
        timers.push(timer);
        signal?.addEventListener('abort', () => {
          timers = timers.filter((one) => one !== timer);
          reject(signal.reason);
        });
      }),
    /** What was to happen until then happens, in order, each with its consequences. */
    async set(ms: number): Promise<void> {
      for (;;) {
        const next = timers.filter(({ atMs }) => atMs <= ms).sort((a, b) => a.atMs - b.atMs)[0];
        if (next === undefined) break;
        timers = timers.filter((one) => one !== next);
        nowMs = Math.max(nowMs, next.atMs);
        next.ring();
        await nextTurn();
      }
      nowMs = Math.max(nowMs, ms);
    },
  };
}

interface Outside {
  readonly broker: FakeBroker;
  readonly store: MemoryStore;
}

function published(): Outside {
  const broker = createFakeBroker(2);
  for (const partition of broker.partitions) {
    for (let i = 0; i < 7; i++) publish(partition, ['one', 'two', 'three'].slice(0, 1 + (i % 3)));
  }
  return { broker, store: createMemoryStore() };
}

/** Runs the rule. At the nth call `event` takes place before the call goes on. */
async function invoke(
  { broker, store }: Outside,
  n: number,
  event: (clock: ReturnType<typeof stoppedClock>) => Promise<void>,
): Promise<{ summary?: Summary; error?: unknown; calls: number }> {
  const clock = stoppedClock();
  const closed = new Set<string>();
  let calls = 0;
  const onCall = (): Promise<void> | undefined => (++calls === n ? event(clock) : undefined);
  broker.hook = onCall;
  store.hook = (when) => (when === 'before' ? onCall() : undefined);
  const parts: HandlerParts = {
    clock,
    createStore: () => ({ ...store, close: async () => void closed.add('store') }),
    createSource: async () => ({
      ...createFakeSource(broker),
      close: async () => void closed.add('source'),
    }),
    createLogger: () => silentLogger,
  };
  try {
    return { summary: await handleInvocation(ENV, CONTEXT, parts), calls };
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
    return { error, calls };
  } finally {
    // Whatever hangs: a frozen instance would go on with it in its next invocation.
    expect([...closed].sort()).toEqual(['source', 'store']);
    broker.hook = undefined;
    store.hook = undefined;
  }
}

function expectAcknowledgedIsStored({ broker, store }: Outside): number {
  const stored = storedMessages(store);
  let messages = 0;
  for (const { entries, acknowledged } of broker.partitions) {
    for (const entry of entries) {
      if (entry.kind !== 'entry' || !acknowledged.has(`${entry.id.ledgerId}:${entry.id.entryId}`)) continue;
      messages += entry.messages.length;
      for (const { id } of entry.messages) expect(stored.has(formatMessageId(id))).toBe(true);
    }
  }
  return messages;
}

async function expectNextRunToFinish(outside: Outside): Promise<void> {
  const next = await invoke(outside, 0, async () => undefined);
  expect(next.summary).toMatchObject({ stopReason: 'caught_up' });
  expect([...storedMessages(outside.store).keys()].sort()).toEqual(
    [...publishedMessages(outside.broker).keys()].sort(),
  );
  expect(outside.broker.backlog()).toBe(0);
}

/** `check` for every call of a run at which `event` takes place. */
async function atEachCall(
  event: (clock: ReturnType<typeof stoppedClock>) => Promise<void>,
  check: (outside: Outside, outcome: { summary?: Summary; error?: unknown }) => void,
): Promise<void> {
  const { calls } = await invoke(published(), 0, async () => undefined);
  expect(calls).toBeGreaterThan(30);
  for (let n = 1; n <= calls; n++) {
    const outside = published();
    const outcome = await invoke(outside, n, event);
    try {
      check(outside, outcome);
      await expectNextRunToFinish(outside);
    } catch (error) {
      throw new Error(`at call ${n} of ${calls}`, { cause: error });
    }
  }
}

it('a file that hangs until the time to store is over leaves time for the manifest of the others', async () => {
  const outside = published();
  const clock = stoppedClock();
  outside.store.hook = async (when, call, key) => {
    if (when !== 'before' || call !== 'create' || !key.includes('partition=1')) return;
    while (storedMessages(outside.store).size === 0) await nextTurn();
    await clock.set(LIMIT_MS - 5_500);
    await new Promise(() => undefined);
  };
  const summary = await handleInvocation(ENV, CONTEXT, {
    clock,
    createStore: () => outside.store,
    createSource: async () => createFakeSource(outside.broker),
    createLogger: () => silentLogger,
  });
  expect(summary.stopReason).toBe('deadline');
  expect([...outside.store.objects.keys()].filter((key) => key.startsWith('p/_runs/'))).toHaveLength(1);
  outside.store.hook = undefined;
  await expectNextRunToFinish(outside);
});

describe('at each call of a run', () => {
  it('the time to read is over: what is open is stored and acknowledged, and the run is a success', async () => {
    await atEachCall(
      (clock) => clock.set(LIMIT_MS - 15_000),
      (outside, { summary }) => {
        expect(['deadline', 'caught_up']).toContain(summary?.stopReason);
        expect(expectAcknowledgedIsStored(outside)).toBe(storedMessages(outside.store).size);
      },
    );
  });

  it('the time to store is over: nothing is acknowledged that is not stored', async () => {
    await atEachCall(
      (clock) => clock.set(LIMIT_MS - 5_000),
      (outside, { summary, error }) => {
        expectAcknowledgedIsStored(outside);
        const hasTried = outside.store.calls.some((call) => call.startsWith('create'));
        // The clock excuses a file that could not be stored, but not a run that could store none.
        if (hasTried && storedMessages(outside.store).size === 0) expect(error).toBeDefined();
        else expect(summary?.stopReason ?? 'failed').toMatch(/^(deadline|caught_up|failed)$/);
      },
    );
  });

  it('the whole time is over, and the call never comes back: the invocation ends before its limit', async () => {
    await atEachCall(
      async (clock) => {
        await clock.set(LIMIT_MS - 1);
        await new Promise(() => undefined);
      },
      (outside) => void expectAcknowledgedIsStored(outside),
    );
  });
});
