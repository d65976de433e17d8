// Schemas for commands: asks a cluster for those of its topics, and subscribes to nothing.
import type { SchemaAnswer } from '../../ports.ts';
import { partitionTopic, type TopicName } from '../../topic-name.ts';
import { openCluster } from './open-cluster.ts';
import type { PublisherOptions } from './producer-publisher.ts';
import { SchemaReader } from './schema-reader.ts';
import { DEFAULT_TIMINGS } from './timer.ts';

/** Schemas of any topic of the cluster. */
export interface SchemaClient {
  /** See SourcePartition. @throws BackupError `source` where the topic is not there */
  read(topic: TopicName, version: Uint8Array): Promise<SchemaAnswer>;
  /** Ends all connections. May be repeated; never throws. */
  close(): Promise<void>;
}

/** @throws BackupError `config` where the URL or a TLS file is of no use */
export function createWireSchemaClient(options: PublisherOptions): SchemaClient {
  const cluster = openCluster(options.config, { clock: options.clock, timings: DEFAULT_TIMINGS });
  const readers = new Map<string, Promise<{ reader: SchemaReader; topic: string }>>();
  const open = async (topic: TopicName) => {
    const partitions = await cluster.partitions(topic);
    const first = partitions === 0 ? topic.full : partitionTopic(topic, 0);
    return { reader: new SchemaReader(cluster, options.clock), topic: first };
  };
  return {
    async read(topic, version) {
      let opening = readers.get(topic.full);
      if (opening === undefined) {
        opening = open(topic);
        readers.set(topic.full, opening);
      }
      const opened = await opening;
      return opened.reader.read(opened.topic, version);
    },
    close: () => cluster.close(),
  };
}
