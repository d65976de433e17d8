// The contract of Source, over the driver `wire` and the loopback broker.
import { createWireSource } from '../../src/pulsar/wire/source.ts';
import { WIRE_CAPABILITIES } from '../contract/contract-options.ts';
import { describeSourceContract } from '../contract/source.ts';
import { startLoopbackSurroundings } from '../contract/source-loopback.ts';

/** Here no consumer comes late, and the broker answers at once. */
const TIMINGS = { settleMs: 0, standbyAfterMs: 500 };

describeSourceContract('wire over the loopback broker', WIRE_CAPABILITIES, () =>
  startLoopbackSurroundings((options) => createWireSource(options, TIMINGS)),
);
