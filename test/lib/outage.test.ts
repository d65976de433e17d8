// How long a run waits for a Pulsar that is away: 120 s in all, although one wait is inside another.
import { expect, test } from 'vitest';
import { BackupError } from '../../src/errors.ts';
import { MAX_OUTAGE_MS, retryThroughOutage } from '../../src/lib/outage.ts';
import { Recovery } from '../../src/pulsar/wire/recovery.ts';
import { virtualClock } from '../pulsar/virtual-clock.ts';

const away = () => Promise.reject(new BackupError('source', 'nobody answers', { retryable: true }));
const { signal } = new AbortController();

test('A call that fails is repeated for 120 s', async () => {
  const clock = virtualClock();
  const beganMs = clock.now();
  await expect(retryThroughOutage(away, { clock, signal })).rejects.toThrow('nobody answers');
  expect(clock.now() - beganMs).toBeGreaterThan(MAX_OUTAGE_MS - 5_000);
  expect(clock.now() - beganMs).toBeLessThan(MAX_OUTAGE_MS + 10_000);
});

test('An acknowledgement asked for late in an outage waits no longer than the consumer for its connection', async () => {
  const clock = virtualClock();
  const beganMs = clock.now();
  const timings = { reconnectTimeoutMs: MAX_OUTAGE_MS };
  const recovery = new Recovery({ topic: 'persistent://t/n/orders', clock, timings, signal });
  const reconnected = recovery.run(away);
  reconnected.catch(() => undefined);
  await clock.sleep(100_000);
  const acknowledged = retryThroughOutage(() => reconnected, { clock, signal });
  const failure = await acknowledged.catch((error: unknown) => error);
  expect(failure).toMatchObject({ code: 'source', retryable: true });
  expect(String(failure)).toMatch(/no consumer of .* in 120 s/);
  expect(clock.now() - beganMs).toBeLessThan(MAX_OUTAGE_MS + 1_000);
});
