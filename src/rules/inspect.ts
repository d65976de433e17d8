// The cloud's side of `tdmq-backup check`: what the TDMQ and VPC APIs say of a rule's cluster, namespace, topic,
// subscription, role and network. Reads only. What these API keys may not ask becomes a warning, not a failure.
import type { Credentials, RuleConfig } from '../config.ts';
import { BackupError, messageOf } from '../errors.ts';
import type { Clock } from '../ports.ts';
import { type Cloud, isForbidden, openCloud } from './cloud.ts';
import {
  findCluster,
  findSubscription,
  listAccessPoints,
  listedTopic,
  listNamespaces,
  listRoles,
  listTopics,
  type PulsarCluster,
  RUNS_WITHIN_TTL,
} from './tdmq-lookup.ts';

/** One thing looked at. */
export interface Finding {
  readonly item: string;
  readonly status: 'ok' | 'warn' | 'fail';
  /** What was found, in a sentence. */
  readonly cause: string;
  /** What to do, unless all is well. */
  readonly cure?: string;
}

export interface InspectOptions {
  readonly config: RuleConfig;
  /** A person's own keys; the function's where they may ask TDMQ. */
  readonly credentials: Credentials;
  /** By default the region of the bucket: cluster, function and bucket are in one. */
  readonly region?: string;
  /** The network of the function, where it is known. */
  readonly vpc?: { readonly vpcId: string; readonly subnetId: string };
  /** Of `PULSAR_TOKEN`, where the person knows which role's key it is. */
  readonly roleName?: string;
  readonly endpoint?: string | undefined;
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
}

/** Asks everything; answers one finding for each item, in the order of a message's way. Never throws for what it finds. */
export async function inspectCloud(options: InspectOptions): Promise<Finding[]> {
  const { config } = options;
  const cloud = openCloud({
    credentials: options.credentials,
    region: options.region ?? config.cos.region,
    endpoint: options.endpoint,
    signal: options.signal,
    ...(options.clock && { clock: options.clock }),
  });
  const findings: Finding[] = [];
  const look = async <T>(item: string, ask: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await ask();
    } catch (error) {
      if (options.signal?.aborted) throw error;
      findings.push({
        item,
        status: isForbidden(error) ? 'warn' : 'fail',
        cause: messageOf(error),
        cure: (error instanceof BackupError && error.hint) || 'Try again.',
      });
      return undefined;
    }
  };

  const { topic, tdmqRole } = config.pulsar;
  const clusterId = tdmqRole?.clusterId ?? topic.tenant;
  const cluster = await look('cluster', async () => {
    const found = await findCluster(cloud, clusterId);
    findings.push(clusterFinding(found, clusterId, cloud.region));
    return found;
  });
  if (cluster === undefined) return findings;
  const namespace = await look('namespace', async () => {
    const found = (await listNamespaces(cloud, cluster.id)).find((one) => one.name === topic.namespace);
    findings.push(...namespaceFindings(found, config, cluster));
    return found;
  });
  if (namespace !== undefined) {
    const isThere = await look('topic', () => inspectTopic(cloud, cluster, config, findings));
    if (isThere) await look('subscription', () => inspectSubscription(cloud, cluster, config, findings));
    const roleName = tdmqRole?.roleName ?? options.roleName;
    if (roleName !== undefined) {
      await look('role', async () => {
        const role = (await listRoles(cloud, cluster.id, topic.namespace)).find(
          (one) => one.name === roleName,
        );
        findings.push(roleFinding(role, roleName, topic.namespace, cluster));
      });
    }
  }
  await look('network', () => inspectNetwork(cloud, cluster, options, findings));
  return findings;
}

function clusterFinding(found: PulsarCluster | undefined, id: string, region: string): Finding {
  if (found === undefined) {
    return {
      item: 'cluster',
      status: 'fail',
      cause: `there is no Pulsar cluster ${id} in ${region}`,
      cure: 'Deploy the rule in the region of the cluster, with a bucket there; see PULSAR_TOPIC and COS_REGION.',
    };
  }
  return found.isNormal
    ? {
        item: 'cluster',
        status: 'ok',
        cause: `${found.id} (${found.name}), version ${found.version}, in ${region}`,
      }
    : {
        item: 'cluster',
        status: 'fail',
        cause: `${found.id} is not in its normal state`,
        cure: 'See the cluster in the TDMQ console: it may be isolated for arrears, or still being made.',
      };
}

function namespaceFindings(
  found: { name: string; ttlSeconds: number | undefined } | undefined,
  { pulsar, run }: RuleConfig,
  cluster: PulsarCluster,
): Finding[] {
  if (found === undefined) {
    return [
      {
        item: 'namespace',
        status: 'fail',
        cause: `cluster ${cluster.id} has no namespace ${pulsar.topic.namespace}`,
        cure: 'Correct PULSAR_TOPIC: it is tenant/namespace/topic.',
      },
    ];
  }
  const item = 'time to live';
  const { ttlSeconds } = found;
  const there: Finding = { item: 'namespace', status: 'ok', cause: found.name };
  if (ttlSeconds === undefined || ttlSeconds <= 0) return [there];
  const intervalSeconds = run.intervalMinutes * 60;
  const runs = Math.floor(ttlSeconds / intervalSeconds);
  if (runs >= RUNS_WITHIN_TTL) {
    return [
      there,
      { item, status: 'ok', cause: `unread messages are kept for ${ttlSeconds} s, ${runs} runs` },
    ];
  }
  return [
    there,
    {
      item,
      status: runs < 2 ? 'fail' : 'warn',
      cause: `the namespace drops unread messages after ${ttlSeconds} s, and the rule runs every ${intervalSeconds} s: ${runs < 2 ? 'messages can be lost in daily running' : `${runs} failed runs lose messages`}`,
      cure: 'Raise the time to live of the namespace in the TDMQ console; a day or more leaves time to act.',
    },
  ];
}

async function inspectTopic(
  cloud: Cloud,
  cluster: PulsarCluster,
  { pulsar }: RuleConfig,
  findings: Finding[],
): Promise<boolean> {
  const name = listedTopic(pulsar.topic.topic);
  const found = (await listTopics(cloud, cluster.id, pulsar.topic.namespace, name)).find(
    (one) => one.name === name,
  );
  findings.push(
    found === undefined
      ? {
          item: 'topic',
          status: 'fail',
          cause: `namespace ${pulsar.topic.namespace} has no topic ${name}`,
          cure: 'Correct PULSAR_TOPIC, or create the topic in the TDMQ console.',
        }
      : { item: 'topic', status: 'ok', cause: `${name}, ${found.partitions || 'no'} partitions` },
  );
  return found !== undefined;
}

const TYPE_NAMES = {
  exclusive: 'Exclusive',
  failover: 'Failover',
  shared: 'Shared',
  key_shared: 'Key_Shared',
} as const;

async function inspectSubscription(
  cloud: Cloud,
  cluster: PulsarCluster,
  { pulsar }: RuleConfig,
  findings: Finding[],
): Promise<void> {
  const { subscription: name, subscriptionType, topic } = pulsar;
  const found = await findSubscription(cloud, cluster.id, topic.namespace, listedTopic(topic.topic), name);
  const item = 'subscription';
  if (found === undefined) {
    findings.push({
      item,
      status: 'warn',
      cause: `${name} does not exist; the first run makes it, at ${pulsar.initialPosition}`,
      cure: 'Create it in the TDMQ console before the rule, so that no message is dropped until then.',
    });
    return;
  }
  const state = `${name}, backlog ${found.backlog ?? 'unknown'}`;
  if (found.consumers.length === 0) {
    findings.push({ item, status: 'ok', cause: `${state}, no consumers` });
    return;
  }
  const isOtherType = found.type !== undefined && found.type !== TYPE_NAMES[subscriptionType];
  findings.push({
    item,
    status: isOtherType || subscriptionType === 'exclusive' ? 'fail' : 'warn',
    cause: `${state}, consumers are connected: ${found.consumers.join(', ')}${isOtherType ? `; it is ${found.type}` : ''}`,
    cure: 'If they are not runs of this rule, give the rule a subscription of its own: what others acknowledge is not backed up.',
  });
}

function roleFinding(
  role: { permissions: readonly string[] } | undefined,
  name: string,
  namespace: string,
  cluster: PulsarCluster,
): Finding {
  if (role === undefined) {
    return {
      item: 'role',
      status: 'fail',
      cause: `cluster ${cluster.id} has no role ${name}`,
      cure: 'Create the role in the TDMQ console, or correct TDMQ_ROLE_NAME.',
    };
  }
  return role.permissions.includes('consume')
    ? { item: 'role', status: 'ok', cause: `${name} may ${role.permissions.join(' and ')} in ${namespace}` }
    : {
        item: 'role',
        status: 'fail',
        cause: `${name} may not consume from ${namespace}`,
        cure: 'Grant the role consume on the namespace, in the TDMQ console.',
      };
}

async function inspectNetwork(
  cloud: Cloud,
  cluster: PulsarCluster,
  { config, vpc }: InspectOptions,
  findings: Finding[],
): Promise<void> {
  const item = 'network';
  const points = await listAccessPoints(cloud, cluster);
  const { serviceUrl } = config.pulsar;
  const known = points.map((one) => `${one.serviceUrl} in ${one.vpcId}`).join(', ') || 'none';
  const host = (url: string) => url.replace(/^[a-z+]+:\/\//, '').replace(/\/$/, '');
  const own = points.filter((one) => host(one.serviceUrl) === host(serviceUrl));
  if (own.length === 0) {
    findings.push({
      item,
      status: 'warn',
      cause: `PULSAR_SERVICE_URL ${serviceUrl} is none of the cluster's private addresses (${known})`,
      cure: 'Use the access address of the VPC that the function is in; a public address costs traffic and may be closed.',
    });
  } else if (vpc !== undefined && !own.some((one) => one.vpcId === vpc.vpcId)) {
    findings.push({
      item,
      status: 'fail',
      cause: `the function is in ${vpc.vpcId}, but the address is reached from ${own.map((one) => one.vpcId).join(', ')}`,
      cure: `Put the function into that VPC, or bind ${vpc.vpcId} to the cluster in the TDMQ console.`,
    });
  } else {
    findings.push({
      item,
      status: 'ok',
      cause: `${serviceUrl} in ${own.map((one) => one.vpcId).join(', ')}`,
    });
  }
  if (vpc === undefined) return;
  const answer = await cloud.call('vpc', 'DescribeSubnets', { SubnetIds: [vpc.subnetId] });
  const free = answer.SubnetSet?.[0]?.AvailableIpAddressCount ?? 0;
  findings.push(
    free > 0
      ? { item: 'subnet', status: 'ok', cause: `${vpc.subnetId} has ${free} free addresses` }
      : {
          item: 'subnet',
          status: 'fail',
          cause: `${vpc.subnetId} has no free address, or is not in this region`,
          cure: 'Choose another subnet of the VPC.',
        },
  );
}
