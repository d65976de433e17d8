// What the loopback cloud knows: plain, mutable, to be seeded and looked at by tests.

export interface Tag {
  Key: string;
  Value: string;
}

export interface Trigger {
  name: string;
  type: string;
  cron: string;
  open: boolean;
  qualifier: string;
  argument: string | undefined;
}

export interface ScfFunction {
  name: string;
  region: string;
  status: 'Creating' | 'Active' | 'Updating' | 'CreateFailed';
  /** How many GetFunction calls it takes to become active. */
  pollsLeft: number;
  zip: Uint8Array;
  handler: string;
  runtime: string;
  description: string;
  memory: number;
  timeout: number;
  environment: Record<string, string>;
  vpc: { VpcId: string; SubnetId: string } | undefined;
  publicNet: boolean;
  role: string | undefined;
  cls: { logsetId: string; topicId: string } | undefined;
  tags: Tag[];
  triggers: Trigger[];
  reservedMemory: number | undefined;
  retry: { retryNum: number; ttlSeconds: number };
  addTime: string;
  modTime: string;
}

export interface Subscription {
  name: string;
  /** The name of each connected consumer. */
  consumers: string[];
  backlog: number;
  type: string;
  /** The last reset, in milliseconds since the epoch. */
  resetTo: number | undefined;
}

export interface Topic {
  name: string;
  partitions: number;
  subscriptions: Map<string, Subscription>;
}

export interface Environment {
  name: string;
  ttlSeconds: number;
  retentionMinutes?: number;
  topics: Map<string, Topic>;
}

interface TdmqRole {
  name: string;
  token: string;
  /** By environment: `produce`, `consume`. */
  grants: Map<string, string[]>;
}

interface AccessPoint {
  vpcId: string;
  subnetId: string;
  /** Host and port. */
  address: string;
}

export interface Cluster {
  id: string;
  name: string;
  region: string;
  kind: 'pro' | 'virtual';
  tenant: string | undefined;
  version: string;
  status: number;
  access: AccessPoint[];
  environments: Map<string, Environment>;
  roles: Map<string, TdmqRole>;
}

interface Subnet {
  id: string;
  vpcId: string;
  region: string;
  name: string;
  freeIps: number;
}

export interface CamPolicy {
  id: number;
  name: string;
  document: string;
  description: string;
}

export interface CamRole {
  name: string;
  trust: string;
  description: string;
  policies: Set<number>;
}

/** One line in a CLS topic. */
export interface LogLine {
  timeMs: number;
  fields: Record<string, string>;
}

interface AsyncRun {
  requestId: string;
  functionName: string;
  startedMs: number;
  pollsLeft: number;
  result: RunResult;
}

/** What an invocation of a function came to. */
export interface RunResult {
  readonly result?: unknown;
  readonly error?: string;
  /** Lines on the function's stdout; they reach CLS where the function has a topic. */
  readonly lines?: readonly object[];
}

export interface CloudState {
  functions: Map<string, ScfFunction>;
  clusters: Map<string, Cluster>;
  subnets: Map<string, Subnet>;
  camRoles: Map<string, CamRole>;
  camPolicies: Map<number, CamPolicy>;
  logTopics: Map<string, LogLine[]>;
  /** What DescribeIndex answers, by topic; without one the index is off. */
  logIndexes: Map<string, { Status: boolean; Rule: object | null }>;
  asyncRuns: Map<string, AsyncRun>;
  /** How many GetFunction calls a new or changed function takes to become active. */
  pollsUntilActive: number;
  /** What an invocation does; a test's own code in place of the function's. */
  run: (fn: ScfFunction, event: unknown, requestId: string) => RunResult | Promise<RunResult>;
  nextId: number;
  /** The API's clock, in milliseconds since the epoch. */
  now: () => number;
}

/** An account with nothing in it. */
export function emptyState(): CloudState {
  return {
    functions: new Map(),
    clusters: new Map(),
    subnets: new Map(),
    camRoles: new Map(),
    camPolicies: new Map(),
    logTopics: new Map(),
    logIndexes: new Map(),
    asyncRuns: new Map(),
    pollsUntilActive: 1,
    run: () => ({ result: null }),
    nextId: 1,
    now: () => Date.now(),
  };
}

/** Adds a cluster with one namespace, topic, role and access point, and the subnet that it is reached from. */
export function seedCluster(
  state: CloudState,
  given: Partial<Pick<Cluster, 'id' | 'name' | 'region' | 'kind' | 'tenant' | 'version'>> & {
    token?: string;
  },
): Cluster {
  const id = given.id ?? 'pulsar-abc';
  const region = given.region ?? 'ap-guangzhou';
  const cluster: Cluster = {
    id,
    name: given.name ?? `cluster of ${id}`,
    region,
    kind: given.kind ?? 'pro',
    tenant: given.tenant,
    version: given.version ?? '2.9.2',
    status: 1,
    access: [
      {
        vpcId: 'vpc-1',
        subnetId: 'subnet-1',
        address: `${id}.tdmq.ap-gz.qcloud.tencenttdmq.com:${given.kind === 'virtual' ? 5035 : 8080}`,
      },
    ],
    environments: new Map(),
    roles: new Map(),
  };
  const environment: Environment = { name: 'default', ttlSeconds: 1_296_000, topics: new Map() };
  environment.topics.set('orders', { name: 'orders', partitions: 3, subscriptions: new Map() });
  cluster.environments.set('default', environment);
  cluster.roles.set('backup-reader', {
    name: 'backup-reader',
    token: given.token ?? `key.of.${id}`,
    grants: new Map([['default', ['consume']]]),
  });
  state.clusters.set(id, cluster);
  if (!state.subnets.has('subnet-1')) {
    state.subnets.set('subnet-1', { id: 'subnet-1', vpcId: 'vpc-1', region, name: 'apps', freeIps: 200 });
  }
  return cluster;
}
