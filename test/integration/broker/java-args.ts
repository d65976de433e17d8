// How a broker's Java process is started, by the version of Pulsar.
import { join } from 'node:path';
import type { BrokerPorts } from './conf.ts';
import { hasZooKeeper, NEWEST, type PulsarVersion } from './version.ts';

/** The broker's configuration, in its folder. */
export const CONF_FILE = 'broker.conf';

const OPEN_PACKAGES = [
  'java.base/java.io',
  'java.base/java.util.zip',
  'java.base/java.nio',
  'java.base/jdk.internal.misc',
  'java.base/jdk.internal.platform',
  'java.base/sun.net',
  'java.management/sun.management',
  'jdk.management/com.sun.management.internal',
];
/** Made for Java 8 and 11. */
const OLD_OPEN_PACKAGES = [
  'java.base/java.lang',
  'java.base/java.util',
  'java.base/java.net',
  'java.base/sun.nio.ch',
];

/** The Java machine's arguments. */
export const javaArgs = (version: PulsarVersion, jars: string, fast: boolean, folder: string): string[] => [
  `-Djava.io.tmpdir=${join(folder, 'data')}`,
  '-Xms128m',
  '-Xmx1g',
  '-XX:MaxDirectMemorySize=1g',
  '-XX:+ExitOnOutOfMemoryError',
  ...(fast ? ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC'] : []),
  ...[...OPEN_PACKAGES, ...(version === NEWEST ? [] : OLD_OPEN_PACKAGES)].flatMap((name) => [
    '--add-opens',
    `${name}=ALL-UNNAMED`,
  ]),
  '-Dio.netty.tryReflectionSetAccessible=true',
  '-Dio.netty.leakDetectionLevel=disabled',
  '-Djava.net.preferIPv4Stack=true',
  '-Dpulsar.allocator.exit_on_oom=true',
  `-Dlog4j.configurationFile=${join(import.meta.dirname, 'log4j2.properties')}`,
  '-Dlog4j.shutdownHookEnabled=false',
  '-Dlog4j2.is.webapp=false',
  ...(hasZooKeeper(version)
    ? []
    : [
        '-Dbookkeeper.metadata.bookie.drivers=org.apache.pulsar.metadata.bookkeeper.PulsarMetadataBookieDriver',
        '-Dbookkeeper.metadata.client.drivers=org.apache.pulsar.metadata.bookkeeper.PulsarMetadataClientDriver',
      ]),
  '-Dzookeeper.admin.enableServer=false',
  '-cp',
  join(jars, '*'),
];

/** The broker's class and arguments. */
export const starterArgs = (
  version: PulsarVersion,
  metadata: 'memory' | 'rocksdb',
  folder: string,
  { zooKeeperPort, bookiePort }: BrokerPorts,
): string[] => {
  const data = (name: string) => join(folder, 'data', name);
  return [
    'org.apache.pulsar.PulsarStandaloneStarter',
    ...['--config', join(folder, CONF_FILE), '--no-functions-worker', '--no-stream-storage'],
    ...['--bookkeeper-dir', data('bookkeeper'), '--bookkeeper-port', String(bookiePort)],
    ...['--advertised-address', '127.0.0.1'],
    ...(hasZooKeeper(version)
      ? ['--zookeeper-dir', data('zookeeper'), '--zookeeper-port', String(zooKeeperPort)]
      : ['--metadata-dir', data('metadata')]),
    ...(!hasZooKeeper(version) && metadata === 'memory' ? ['--metadata-url', 'memory:test'] : []),
  ];
};
