// Chooses the driver that PULSAR_DRIVER names. The native one, and the package behind it, are loaded only when chosen.
import type { Source } from '../ports.ts';
import type { SourceOptions } from './source-options.ts';
import { createWireSource } from './wire/source.ts';

/**
 * A Source over the driver of the settings; nothing is connected before its `open`. `load`, for tests, imports
 * pulsar-client. @throws BackupError `config` where the driver does not load
 */
export async function createSource(options: SourceOptions, load?: () => Promise<unknown>): Promise<Source> {
  const { driver, runsFrom } = options.config;
  options.logger.info({ driver }, 'pulsar driver chosen');
  if (driver === 'wire') return createWireSource(options);
  const { createNativeSource, importPulsarClient } = await import('./native/source.ts');
  const { loadPulsarClient } = await import('./native/addon.ts');
  const client = await loadPulsarClient(load ?? importPulsarClient, runsFrom);
  return createNativeSource(options, async () => client);
}
