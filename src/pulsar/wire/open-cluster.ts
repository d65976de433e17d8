// The cluster of the settings: reads the TLS files and the service URL. Connects to nothing.
import type { PulsarConfig } from '../../config.ts';
import { readTlsFiles } from '../tls-files.ts';
import { Cluster, type ClusterOptions } from './cluster.ts';
import { parseServiceUrl } from './service-url.ts';

/** The settings that name a cluster, and those to log in with. */
export type ClusterConfig = Pick<
  PulsarConfig,
  'serviceUrl' | 'token' | 'tlsCaFile' | 'clientCertificate' | 'listenerName' | 'runsFrom'
> &
  Partial<Pick<PulsarConfig, 'tdmqRole'>>;

/** @throws BackupError `config` if the service URL or a TLS file is unusable */
export function openCluster(
  config: ClusterConfig,
  options: Pick<ClusterOptions, 'clock' | 'timings' | 'logger' | 'memory'>,
): Cluster {
  return new Cluster({
    ...options,
    token: config.token,
    tls: readTlsFiles(config),
    tdmqRole: config.tdmqRole,
    runsFrom: config.runsFrom,
    serviceUrl: parseServiceUrl(config.serviceUrl),
    listenerName: config.listenerName,
  });
}
