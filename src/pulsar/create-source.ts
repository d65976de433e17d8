// Chooses the driver. The native one is loaded only when it is asked for: its addon is not installed everywhere.
import type { Source } from '../ports.ts';
import type { SourceOptions } from './source-options.ts';
import { createWireSource } from './wire/source.ts';

/** The Source of `options.config.driver`, not open yet. @throws BackupError where the native driver cannot be loaded */
export async function createSource(options: SourceOptions): Promise<Source> {
  if (options.config.driver === 'wire') return createWireSource(options);
  const { createNativeSource } = await import('./native.ts');
  return createNativeSource(options);
}
