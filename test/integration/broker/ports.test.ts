import { expect, it } from 'vitest';
import { freePorts } from './ports.ts';

it('brokers that start side by side get ports that nobody else gets', async () => {
  const ports = (await Promise.all(Array.from({ length: 40 }, () => freePorts(4)))).flat();
  expect(new Set(ports).size).toBe(160);
  // Neither a connection nor a listener of port 0 gets one of them from the system.
  for (const port of ports) expect(port).toBeLessThan(16_000);
});
