import { describeSourceContract } from '../contract/source.ts';
import { NATIVE_CAPABILITIES, OLD_NATIVE_CAPABILITIES, startFakeSurroundings } from './fake-surroundings.ts';

describeSourceContract('native over a fake pulsar-client 1.18', NATIVE_CAPABILITIES, () =>
  startFakeSurroundings(),
);
describeSourceContract('native over a fake pulsar-client 1.14', OLD_NATIVE_CAPABILITIES, () =>
  startFakeSurroundings(true),
);
