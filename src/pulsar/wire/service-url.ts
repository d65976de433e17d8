// Addresses: the service URL of a rule, with its one or more hosts, and the broker URLs that lookups answer with.
import { BackupError } from '../../errors.ts';

/** Where to connect to. */
export interface Address {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
}

/** A service URL, parsed. */
export interface ServiceUrl {
  /** Lookups over HTTP rather than over the binary protocol. */
  readonly http: boolean;
  readonly tls: boolean;
  /** At least one; tried in turn. */
  readonly addresses: readonly Address[];
}

const DEFAULT_PORTS: Readonly<Record<string, number>> = {
  'pulsar:': 6650,
  'pulsar+ssl:': 6651,
  'http:': 80,
  'https:': 443,
};

/** Parses `scheme://host[:port][,host[:port]…]`. @throws BackupError `config` */
export function parseServiceUrl(url: string): ServiceUrl {
  const match = /^(pulsar:|pulsar\+ssl:|http:|https:)\/\/([^/]+)\/?$/.exec(url);
  const [, scheme, hosts] = match ?? [];
  if (scheme === undefined || hosts === undefined) throw badUrl(url);
  const tls = scheme === 'pulsar+ssl:' || scheme === 'https:';
  const addresses = hosts
    .split(',')
    .map((host) => parseHost(host, DEFAULT_PORTS[scheme] as number, tls, url));
  return { http: scheme.startsWith('http'), tls, addresses };
}

function parseHost(text: string, defaultPort: number, tls: boolean, url: string): Address {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d+))?$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  if (host === undefined || port < 1 || port > 65_535) throw badUrl(url);
  return { host, port, tls };
}

function badUrl(url: string): BackupError {
  return new BackupError('config', `${url} is no address of a Pulsar cluster`, {
    hint: 'PULSAR_SERVICE_URL must be pulsar://, pulsar+ssl://, http:// or https:// and host:port.',
  });
}

/** The broker that a lookup answered with, or `undefined` where the text is no broker URL. */
export function parseBrokerUrl(url: string): Address | undefined {
  try {
    const parsed = parseServiceUrl(url);
    return parsed.http ? undefined : parsed.addresses[0];
  } catch {
    return undefined;
  }
}

/** `host:port`, with brackets where the host is an IPv6 address. */
export function hostPort(address: Address): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** The address as a URL of the binary protocol. */
export function brokerUrl(address: Address): string {
  return `${address.tls ? 'pulsar+ssl' : 'pulsar'}://${hostPort(address)}`;
}
