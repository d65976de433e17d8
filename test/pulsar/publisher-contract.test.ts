// The publisher over the loopback broker.
import { createWirePublisher } from '../../src/pulsar/wire/producer-publisher.ts';
import { describePublisherContract } from '../contract/publisher.ts';
import { startLoopbackForPublishers } from '../contract/publisher-loopback.ts';

describePublisherContract('wire over the loopback broker', () =>
  startLoopbackForPublishers(createWirePublisher),
);
