// The native driver where pulsar-client is a fake, and where it is there, over the loopback broker.
import { createNativeSource } from '../../../src/pulsar/native/source.ts';
import { describeNativeWhereItLoads, nativeCapabilities } from '../../contract/native-binding.ts';
import { describeSourceContract } from '../../contract/source.ts';
import { startLoopbackSurroundings } from '../../contract/source-loopback.ts';
import { startFakeSurroundings } from '../fake-surroundings.ts';

describeSourceContract('native over a fake pulsar-client 1.18', nativeCapabilities(true, true), () =>
  startFakeSurroundings(),
);
describeSourceContract('native over a fake pulsar-client 1.14', nativeCapabilities(false, false), () =>
  startFakeSurroundings(true),
);
await describeNativeWhereItLoads('the loopback broker', () => startLoopbackSurroundings(createNativeSource));
