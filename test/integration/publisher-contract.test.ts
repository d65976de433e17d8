// The publisher over a real broker.
import { createWirePublisher } from '../../src/pulsar/wire/producer-publisher.ts';
import { describePublisherContract } from '../contract/publisher.ts';
import { startRealForPublishers } from '../contract/publisher-real.ts';

describePublisherContract('wire over a real broker', () => startRealForPublishers(createWirePublisher));
describePublisherContract('wire over a real broker, looked up by HTTP', () =>
  startRealForPublishers(createWirePublisher, 'http'),
);
