// How the time and the memory of an invocation are divided before the run begins.
import v8 from 'node:v8';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config.ts';
import { hasNativeZstd } from '../../src/lib/zstd.ts';
import { loadWasmZstd } from '../../src/lib/zstd-wasm.ts';
import { planRun, type ScfContext } from '../../src/run/run-plan.ts';

const MIB = 1_048_576;
const STARTED_MS = 1_000_000;

function plan(context: ScfContext, settings: Readonly<Record<string, string>> = {}) {
  const config = parseConfig({
    RULE_NAME: 'orders-backup',
    PULSAR_SERVICE_URL: 'pulsar://127.0.0.1:6650',
    PULSAR_TOPIC: 't/n/orders',
    PULSAR_SUBSCRIPTION: 'backup',
    COS_BUCKET: 'archive-1250000000',
    COS_REGION: 'ap-guangzhou',
    TENCENTCLOUD_SECRETID: 'id',
    TENCENTCLOUD_SECRETKEY: 'key',
    ...settings,
  });
  return planRun(config, context, STARTED_MS);
}

describe('the times of a run', () => {
  it('keep the reserve free, and end in order within the time limit, whatever both are', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 900_000 }),
        fc.integer({ min: 1, max: 600 }),
        (limitMs, reserve) => {
          const { times } = plan({ time_limit_in_ms: limitMs }, { RUN_RESERVE_SECONDS: String(reserve) });
          const endAtMs = STARTED_MS + limitMs;
          const freeMs = Math.min(reserve * 1_000, limitMs / 2);
          expect(times.latestReadingEndAtMs).toBeCloseTo(endAtMs - freeMs);
          const storingEndAtMs = times.hardEndAtMs - times.minManifestMs;
          const ends = [
            STARTED_MS,
            times.earliestReadingEndAtMs,
            times.latestReadingEndAtMs,
            storingEndAtMs - times.minAcknowledgementMs,
            storingEndAtMs,
            times.hardEndAtMs,
            times.lastEndAtMs,
            endAtMs,
          ];
          expect(ends).toEqual(ends.toSorted((a, b) => a - b));
        },
      ),
    );
  });

  it('follow what is left of the time where SCF reports it, and a minute where it says nothing', () => {
    const left = { getRemainingTimeInMillis: () => 30_000, time_limit_in_ms: 900_000 };
    expect(plan(left).times).toEqual(plan({ time_limit_in_ms: 30_000 }).times);
    expect(plan({}).times).toEqual(plan({ time_limit_in_ms: 60_000 }).times);
  });
});

describe('the memory of a run', () => {
  it('is a quarter of what is free for uploads, from 4 to 256 MiB, and a quarter of that for what is received', () => {
    const uploadMib = (mb: number) => plan({ memory_limit_in_mb: mb }).memory.uploadBytes / MIB;
    expect([128, 256, 512, 1_024, 3_072].map(uploadMib)).toEqual([8, 40, 104, 232, 256]);
    expect(plan({ memory_limit_in_mb: 512 }).memory.receiveBytes).toBe(26 * MIB);
    expect(plan({}).memory).toEqual(plan({ memory_limit_in_mb: 256 }).memory);
  });

  it('leaves room for the WebAssembly that compresses, where Node cannot do it itself', () => {
    const memoryOf = (compression: string) =>
      plan({ memory_limit_in_mb: 128 }, { FILE_COMPRESSION: compression }).memory;
    expect(memoryOf('gzip')).toEqual(memoryOf('none'));
    if (hasNativeZstd) expect(memoryOf('zstd')).toEqual(memoryOf('none'));
    else expect(memoryOf('zstd').uploadBytes).toBeLessThan(memoryOf('none').uploadBytes);
  });

  it('does not take what WebAssembly has reserved for garbage, which a small function would look for all the time', async () => {
    const { inUseBytes } = plan({ memory_limit_in_mb: 128 }, { FILE_COMPRESSION: 'zstd' }).memory;
    const counted = () => v8.getHeapStatistics().external_memory;
    const before = counted();
    await loadWasmZstd();
    if (!hasNativeZstd) expect(inUseBytes - (counted() - before)).toBeGreaterThan(20 * MIB);
  });

  it('has to be enough for Node and a message', () => {
    expect(() => plan({ memory_limit_in_mb: 127 })).toThrow(/127 MB of memory, which is too little/);
  });
});
