// Both publishers over a real broker, the native one where pulsar-client loads.
import { createWirePublisher } from '../../src/pulsar/wire/producer-publisher.ts';
import { WIRE_PUBLISHER } from '../contract/contract-options.ts';
import { describeNativePublisherWhereItLoads } from '../contract/native-binding.ts';
import { describePublisherContract } from '../contract/publisher.ts';
import { startRealForPublishers } from '../contract/publisher-real.ts';

describePublisherContract('wire over a real broker', WIRE_PUBLISHER, () =>
  startRealForPublishers(async (options) => createWirePublisher(options)),
);
describePublisherContract('wire over a real broker, looked up by HTTP', WIRE_PUBLISHER, () =>
  startRealForPublishers(async (options) => createWirePublisher(options), 'http'),
);
await describeNativePublisherWhereItLoads('a real broker', startRealForPublishers);
