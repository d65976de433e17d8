// Both publishers, the native one over a fake of pulsar-client and, where that loads, over the loopback broker.
import { createWirePublisher } from '../../src/pulsar/wire/producer-publisher.ts';
import { NATIVE_PUBLISHER, WIRE_PUBLISHER } from '../contract/contract-options.ts';
import { describeNativePublisherWhereItLoads } from '../contract/native-binding.ts';
import { describePublisherContract } from '../contract/publisher.ts';
import { startLoopbackForPublishers } from '../contract/publisher-loopback.ts';
import { startFakeForPublishers } from './publisher-fake.ts';

describePublisherContract('wire over the loopback broker', WIRE_PUBLISHER, () =>
  startLoopbackForPublishers(async (options) => createWirePublisher(options)),
);
describePublisherContract('native over a fake pulsar-client', NATIVE_PUBLISHER, startFakeForPublishers);
await describeNativePublisherWhereItLoads('the loopback broker', startLoopbackForPublishers);
