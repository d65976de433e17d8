// The broker's configuration file: standalone.conf, and what depends on how it is started.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hasZooKeeper, type PulsarVersion } from './version.ts';

export interface BrokerPorts {
  readonly port: number;
  readonly httpPort: number;
  readonly zooKeeperPort: number;
  readonly bookiePort: number;
}

interface ConfOptions {
  readonly version: PulsarVersion;
  readonly ports: BrokerPorts;
  readonly metadata: 'memory' | 'rocksdb';
  /** Set, with the superuser's token, for token authentication. */
  readonly keyFile: string | undefined;
  readonly adminToken: string | undefined;
  readonly listeners: Readonly<Record<string, string>>;
  readonly extraConf: Readonly<Record<string, string>>;
}

/** The text of broker.conf. */
export async function brokerConf(options: ConfOptions): Promise<string> {
  const { version, ports, metadata, keyFile, adminToken, listeners, extraConf } = options;
  const lines = {
    ...parseConf(await readFile(join(import.meta.dirname, 'standalone.conf'), 'utf8')),
    brokerServicePort: ports.port,
    webServicePort: ports.httpPort,
    bookiePort: ports.bookiePort,
    ...STORAGE[hasZooKeeper(version) ? 'memory' : metadata],
    ...(hasZooKeeper(version) ? zooKeeperConf(ports) : {}),
    ...(keyFile === undefined || adminToken === undefined ? {} : authConf(keyFile, adminToken)),
    ...listenersConf(ports.port, listeners),
    ...extraConf,
  };
  return Object.entries(lines)
    .map(([key, value]) => `${key}=${value}\n`)
    .join('');
}

/** Two parsers read the file, and one refuses a key that is there twice: hence an object. */
function parseConf(text: string): Record<string, string> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return Object.fromEntries(
    lines.map((line) => {
      const at = line.indexOf('=');
      return [line.slice(0, at), line.slice(at + 1)];
    }),
  );
}

const STORAGE = {
  memory: { ledgerStorageClass: 'org.apache.bookkeeper.bookie.SortedLedgerStorage' },
  rocksdb: {
    ledgerStorageClass: 'org.apache.bookkeeper.bookie.storage.ldb.DbLedgerStorage',
    dbStorage_writeCacheMaxSizeMb: '64',
    dbStorage_readAheadCacheMaxSizeMb: '32',
    dbStorage_rocksDB_blockCacheSize: '16777216',
  },
};

const zooKeeperConf = ({ zooKeeperPort }: BrokerPorts) => ({
  zookeeperServers: `127.0.0.1:${zooKeeperPort}`,
  configurationStoreServers: `127.0.0.1:${zooKeeperPort}`,
});

/** Pulsar takes an advertised address or advertised listeners, not both. */
function listenersConf(port: number, listeners: Readonly<Record<string, string>>): Record<string, string> {
  const others = Object.entries(listeners).map(([name, url]) => `${name}:${url}`);
  if (others.length === 0) return {};
  return {
    advertisedAddress: '',
    advertisedListeners: [`internal:pulsar://127.0.0.1:${port}`, ...others].join(','),
    internalListenerName: 'internal',
  };
}

const authConf = (keyFile: string, adminToken: string) => ({
  authenticationEnabled: 'true',
  authenticationProviders: 'org.apache.pulsar.broker.authentication.AuthenticationProviderToken',
  tokenSecretKey: `file://${keyFile}`,
  tokenAuthClaim: 'sub',
  authorizationEnabled: 'true',
  authorizationProvider: 'org.apache.pulsar.broker.authorization.PulsarAuthorizationProvider',
  superUserRoles: 'admin',
  // The broker talks to itself: it makes public/default and reads system topics.
  brokerClientAuthenticationPlugin: 'org.apache.pulsar.client.impl.auth.AuthenticationToken',
  // 2.7 takes no JSON here.
  brokerClientAuthenticationParameters: `token:${adminToken}`,
});
