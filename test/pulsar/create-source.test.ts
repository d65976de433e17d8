import { describe, expect, it } from 'vitest';
import { createSource } from '../../src/pulsar/create-source.ts';
import { keepingLogger, silentLogger } from '../fakes/loggers.ts';
import { nativeConfig } from './native/fixture.ts';
import { virtualClock } from './virtual-clock.ts';

describe('the driver of PULSAR_DRIVER', () => {
  it.each(['wire', 'native'] as const)('%s runs, and the log says so', async (driver) => {
    const logger = keepingLogger();
    const options = {
      config: nativeConfig({ driver }),
      receiveBudgetBytes: 1,
      clock: virtualClock(),
      logger,
    };
    const source = await createSource(options, async () => ({
      Client: class {},
      AuthenticationToken: class {},
    }));
    expect(source.driver).toBe(driver);
    expect(logger.lines).toEqual([{ level: 'info', message: 'pulsar driver chosen', fields: { driver } }]);
    await source.close();
  });

  it('that does not load is a fault of the settings, before anything is opened', async () => {
    const options = {
      config: nativeConfig({ driver: 'native' }),
      receiveBudgetBytes: 1,
      clock: virtualClock(),
      logger: silentLogger,
    };
    await expect(createSource(options, () => Promise.reject(new Error('none')))).rejects.toMatchObject({
      code: 'config',
    });
  });
});
