// The options a source of the contract suite is made from, outside a function: real clock, no log.

import type { PulsarConfig } from '../../src/config.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { Source } from '../../src/ports.ts';
import type { SourceOptions } from '../../src/pulsar/source-options.ts';
import { silentLogger } from '../fakes/loggers.ts';
import type { ContractConfig, SourceLimits } from './source-setup.ts';

/** Makes the source under test. */
export type CreateSource = (options: SourceOptions) => Source;

export function contractOptions(
  config: ContractConfig & Pick<PulsarConfig, 'serviceUrl'>,
  limits: SourceLimits = {},
): SourceOptions {
  return {
    config: {
      subscription: 'backup',
      subscriptionType: 'exclusive',
      initialPosition: 'earliest',
      token: undefined,
      listenerName: undefined,
      tlsCaFile: undefined,
      driver: 'wire',
      tdmqRole: undefined,
      ...config,
    },
    receiveBudgetBytes: 2 ** 26,
    largestMessageBytes: 2 ** 26,
    ...limits,
    clock: systemClock,
    logger: silentLogger,
  };
}

/** What the wire driver can do: everything. */
export const WIRE_CAPABILITIES = {
  exactEnd: true,
  backlog: true,
  receipts: true,
  exactFields: true,
  origin: true,
  encrypted: true,
  failoverSignals: true,
  explainsSilence: true,
  positions: true,
};
