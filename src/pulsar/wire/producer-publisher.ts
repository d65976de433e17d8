// The Publisher over Pulsar's binary protocol: one connection per broker, one producer per topic partition.
import type { PulsarConfig } from '../../config.ts';
import type { Clock, Publisher } from '../../ports.ts';
import { readTlsFiles } from '../tls-files.ts';
import { Cluster } from './cluster.ts';
import { WireProducer } from './producer.ts';
import { publishError } from './publish-error.ts';
import { parseServiceUrl } from './service-url.ts';
import { DEFAULT_TIMINGS } from './timer.ts';

/** Where to publish, and as whom. */
type PublisherConfig = Pick<
  PulsarConfig,
  'serviceUrl' | 'token' | 'tlsCaFile' | 'clientCertificate' | 'listenerName' | 'runsFrom'
> &
  Partial<Pick<PulsarConfig, 'tdmqRole'>>;

/** Where to publish, and how long. */
export interface PublisherOptions {
  readonly config: PublisherConfig;
  readonly clock: Clock;
  /** Ends every wait. */
  readonly signal: AbortSignal;
}

/** A Publisher for brokers of Pulsar 2.7 and later. @throws BackupError `config` where the URL or a TLS file is of no use */
export function createWirePublisher({ config, clock, signal }: PublisherOptions): Publisher {
  const cluster = new Cluster({
    clock,
    timings: DEFAULT_TIMINGS,
    token: config.token,
    tls: readTlsFiles(config),
    tdmqRole: config.tdmqRole,
    runsFrom: config.runsFrom,
    serviceUrl: parseServiceUrl(config.serviceUrl),
    listenerName: config.listenerName,
  });
  const producers = new Set<WireProducer>();
  let lastProducerId = 0;
  return {
    async partitions(topic) {
      try {
        // A producer creates its topic where the namespace has it so; and the list lacks a topic without partitions.
        return await cluster.partitions(topic, { creates: true });
      } catch (error) {
        throw publishError(error, topic.full);
      }
    },
    async open(topic, producerName, options) {
      const nextProducerId = () => ++lastProducerId;
      const producer = new WireProducer({
        ...options,
        cluster,
        clock,
        topic,
        producerName,
        nextProducerId,
        signal,
      });
      producers.add(producer);
      try {
        await producer.open();
      } catch (error) {
        await producer.close();
        throw error;
      }
      return producer;
    },
    async close() {
      await Promise.all([...producers].map((producer) => producer.close()));
      await cluster.close();
    },
  };
}
