// Chooses the driver that PULSAR_DRIVER names. The native one, and the package behind it, are loaded only when chosen.
import type { Source } from '../ports.ts';
import type { SourceOptions } from './source-options.ts';
import { createWireSource } from './wire/source.ts';

/** A Source over the driver of the settings; nothing is connected before its `open`. */
export async function createSource(options: SourceOptions): Promise<Source> {
  const { driver } = options.config;
  options.logger.info({ driver }, 'pulsar driver chosen');
  if (driver === 'wire') return createWireSource(options);
  const { createNativeSource } = await import('./native/source.ts');
  return createNativeSource(options);
}
