import { createWireSource } from '../../src/pulsar/wire/source.ts';
import { WIRE_CAPABILITIES } from '../contract/contract-options.ts';
import { startRealSurroundings } from '../contract/real-surroundings.ts';
import { describeSourceContract } from '../contract/source.ts';

describeSourceContract('wire over a real broker', WIRE_CAPABILITIES, () =>
  startRealSurroundings(createWireSource),
);
