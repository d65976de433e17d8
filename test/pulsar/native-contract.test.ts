import { describeSourceContract } from '../contract/source.ts';
import { NATIVE_CAPABILITIES, startFakeSurroundings } from './fake-surroundings.ts';

describeSourceContract('native over a fake pulsar-client', NATIVE_CAPABILITIES, startFakeSurroundings);
