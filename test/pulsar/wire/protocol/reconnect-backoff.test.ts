import { expect, it } from 'vitest';
import { ReconnectBackoff } from '../../../../src/pulsar/wire/reconnect-backoff.ts';

it('waits for nothing after a first loss, longer after each that follows it, and gives up after two minutes', () => {
  const setbacks = new ReconnectBackoff();
  const pauses = Array.from({ length: 31 }, () => setbacks.another());
  expect(pauses.slice(0, 8)).toEqual([0, 100, 200, 400, 800, 1_600, 3_200, 5_000]);
  const sumMs = pauses.slice(0, 30).reduce<number>((sum, pause) => sum + (pause as number), 0);
  expect(sumMs).toBeGreaterThan(120_000);
  expect(sumMs).toBeLessThan(130_000);
  expect(pauses[30]).toBeUndefined();
});

it('begins anew when something got further', () => {
  const setbacks = new ReconnectBackoff();
  for (let i = 0; i < 10; i++) setbacks.another();
  setbacks.gotFurther();
  expect([setbacks.another(), setbacks.another()]).toEqual([0, 100]);
});
