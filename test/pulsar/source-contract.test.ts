import { createWireSource } from '../../src/pulsar/wire/source.ts';
import { WIRE_CAPABILITIES } from '../contract/contract-options.ts';
import { describeSourceContract } from '../contract/source.ts';
import { startLoopbackSurroundings } from '../contract/source-loopback.ts';

describeSourceContract('wire over the loopback broker', WIRE_CAPABILITIES, () =>
  startLoopbackSurroundings(createWireSource),
);
