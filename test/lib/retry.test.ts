import { describe, expect, it } from 'vitest';
import { BackupError } from '../../src/errors.ts';
import { type RetryOptions, retry } from '../../src/lib/retry.ts';
import type { Clock } from '../../src/ports.ts';

const passing = () => new BackupError('store', 'busy', { retryable: true });

/** Tries an operation that always fails with `error`; answers what was thrown, the tries and the pauses. */
async function failing(error: () => unknown, options: Partial<RetryOptions> = {}) {
  let tries = 0;
  const pausesMs: number[] = [];
  const clock: Clock = {
    now: () => 0,
    sleep: async (ms, signal) => {
      pausesMs.push(ms);
      if (signal?.aborted) throw signal.reason;
    },
  };
  const operation = async () => {
    tries++;
    throw error();
  };
  const thrown = await retry(operation, { clock, random: () => 1, ...options }).catch((one: unknown) => one);
  return { thrown, tries, pausesMs };
}

describe('what fails for a while', () => {
  it('is tried six times, with pauses that double up to a limit, and then thrown', async () => {
    const { thrown, tries, pausesMs } = await failing(passing);
    expect(thrown).toMatchObject({ message: 'busy' });
    expect(tries).toBe(6);
    expect(pausesMs).toEqual([200, 400, 800, 1_600, 3_200]);
    const patient = await failing(passing, { attempts: 9 });
    expect(patient.pausesMs.slice(4)).toEqual([3_200, 5_000, 5_000, 5_000]);
  });

  it('is tried again after half of the pause at least', async () => {
    const { pausesMs } = await failing(passing, { random: () => 0 });
    expect(pausesMs).toEqual([100, 200, 400, 800, 1_600]);
  });

  it('is reported with each repetition, and given the number of its try', async () => {
    const told: unknown[] = [];
    const tries: number[] = [];
    const clock: Clock = { now: () => 0, sleep: async () => undefined };
    const operation = async (attempt: number) => {
      tries.push(attempt);
      if (attempt < 3) throw passing();
      return 'done';
    };
    const onRetry = (error: BackupError, attempt: number) => told.push([error.message, attempt]);
    await expect(retry(operation, { clock, onRetry })).resolves.toBe('done');
    expect(tries).toEqual([1, 2, 3]);
    expect(told).toEqual([
      ['busy', 1],
      ['busy', 2],
    ]);
  });
});

describe('what is thrown at once', () => {
  it('is a failure that stays', async () => {
    await expect(failing(() => new BackupError('store', 'denied'))).resolves.toMatchObject({ tries: 1 });
  });

  it('is a mistake of the program', async () => {
    await expect(failing(() => new TypeError('x is no function'))).resolves.toMatchObject({
      tries: 1,
      thrown: { message: 'x is no function' },
    });
  });

  it('is the last failure when the time is over, before a pause', async () => {
    const { thrown, tries, pausesMs } = await failing(passing, { signal: AbortSignal.abort() });
    expect(thrown).toMatchObject({ message: 'busy' });
    expect(tries).toBe(1);
    expect(pausesMs).toEqual([]);
  });

  it('is the last failure when the time is over within a pause', async () => {
    const end = new AbortController();
    const { thrown, tries } = await failing(passing, {
      signal: end.signal,
      onRetry: () => end.abort(),
    });
    expect(thrown).toMatchObject({ message: 'busy' });
    expect(tries).toBe(1);
  });
});
