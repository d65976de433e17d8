// The position at which a missing subscription is created: `latest` only in the first run of a rule.
import type { SourceOptions } from './source-options.ts';

/** The position to subscribe with. @throws BackupError where it is not known whether earlier runs used the subscription */
export async function initialPosition({
  config,
  isFirstRun,
}: Pick<SourceOptions, 'config' | 'isFirstRun'>): Promise<'earliest' | 'latest'> {
  if (config.initialPosition === 'earliest') return 'earliest';
  return isFirstRun === undefined || (await isFirstRun()) ? 'latest' : 'earliest';
}
