// Both drivers over a real broker, the native one where pulsar-client loads.
import { createNativeSource } from '../../src/pulsar/native/source.ts';
import { createWireSource } from '../../src/pulsar/wire/source.ts';
import { WIRE_CAPABILITIES } from '../contract/contract-options.ts';
import { describeNativeWhereItLoads } from '../contract/native-binding.ts';
import { describeSourceContract } from '../contract/source.ts';
import { startRealSurroundings } from '../contract/source-real.ts';

describeSourceContract('wire over a real broker', WIRE_CAPABILITIES, () =>
  startRealSurroundings(createWireSource),
);
describeSourceContract('wire over a real broker, looked up by HTTP', WIRE_CAPABILITIES, () =>
  startRealSurroundings(createWireSource, 'http'),
);
await describeNativeWhereItLoads('a real broker', () => startRealSurroundings(createNativeSource));
