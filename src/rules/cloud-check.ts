// The cloud's side of `tdmq-backup check`: what the TDMQ and VPC APIs say about a rule's cluster, namespace, topic,
// subscription, role and network. Reads only. What these API keys may not ask becomes a warning, not a failure.
import type { Credentials, RuleSettings } from '../config.ts';
import { BackupError, messageOf } from '../errors.ts';
import type { Clock } from '../ports.ts';
import { isForbidden } from './api-failure.ts';
import { type CheckResult, fail, ok, warn } from './check-result.ts';
import { type Cloud, openCloud } from './cloud.ts';
import { inspectLogIndex } from './log-index.ts';
import {
  type AccessPoint,
  findCluster,
  findSubscription,
  listAccessPoints,
  listedTopic,
  listNamespaces,
  listRoles,
  listTopics,
  type PulsarCluster,
} from './tdmq-lookup.ts';
import { checkKeeping, type Keeping, paceOf } from './time-to-live.ts';

export interface InspectOptions {
  readonly config: RuleSettings;
  /** A person's own keys; the function's where they may ask TDMQ. */
  readonly credentials: Credentials;
  /** By default the region of the bucket: cluster, function and bucket are in one. */
  readonly region?: string;
  /** The network of the function, where it is known. */
  readonly vpc?: { readonly vpcId: string; readonly subnetId: string };
  /** The CLS topic of its logs, where it is known. */
  readonly logTopicId?: string;
  /** Of `PULSAR_TOKEN`, where the person knows which role's key it is. */
  readonly roleName?: string;
  readonly endpoint?: string | undefined;
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
}

/** Asks everything; answers one finding for each item, in the order of a message's way. Never throws for what it finds. */
export async function inspectCloud(options: InspectOptions): Promise<CheckResult[]> {
  const { config } = options;
  const cloud = openCloud({
    credentials: options.credentials,
    region: options.region ?? config.cos.region,
    endpoint: options.endpoint,
    signal: options.signal,
    ...(options.clock && { clock: options.clock }),
  });
  const findings: CheckResult[] = [];
  const look = async <T>(item: string, ask: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await ask();
    } catch (error) {
      if (options.signal?.aborted) throw error;
      findings.push({
        item,
        status: isForbidden(error) ? 'warn' : 'fail',
        cause: messageOf(error),
        hint: (error instanceof BackupError && error.hint) || 'Try again.',
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
    if (isThere) {
      await look('subscription', async () => {
        findings.push(await inspectSubscription(cloud, cluster, config));
      });
    }
    const roleName = tdmqRole?.roleName ?? options.roleName;
    if (roleName !== undefined) {
      await look('role', async () => {
        findings.push(await inspectRole(cloud, cluster, topic.namespace, roleName));
      });
    }
  }
  await look('network', async () => {
    const points = await listAccessPoints(cloud, cluster);
    findings.push(addressFinding(points, config.pulsar.serviceUrl, options.vpc?.vpcId));
  });
  const { vpc } = options;
  if (vpc !== undefined) {
    await look('subnet', async () => {
      findings.push(await inspectSubnet(cloud, vpc.subnetId));
    });
  }
  const { logTopicId } = options;
  if (logTopicId !== undefined) {
    await look('log index', async () => {
      findings.push(await inspectLogIndex(cloud, logTopicId));
    });
  }
  return findings;
}

function clusterFinding(found: PulsarCluster | undefined, id: string, region: string): CheckResult {
  if (found === undefined) {
    return fail(
      'cluster',
      `there is no Pulsar cluster ${id} in ${region}`,
      'Deploy the rule in the region of the cluster, with a bucket there; see PULSAR_TOPIC and COS_REGION.',
    );
  }
  return found.isNormal
    ? ok('cluster', `${found.id} (${found.name}), version ${found.version}, in ${region}`)
    : fail(
        'cluster',
        `${found.id} is not in its normal state`,
        'See the cluster in the TDMQ console: it may be isolated for arrears, or still being made.',
      );
}

function namespaceFindings(
  found: ({ readonly name: string } & Keeping) | undefined,
  { pulsar, run, file }: RuleSettings,
  cluster: PulsarCluster,
): CheckResult[] {
  if (found === undefined) {
    const cause = `cluster ${cluster.id} has no namespace ${pulsar.topic.namespace}`;
    return [fail('namespace', cause, 'Correct PULSAR_TOPIC: it is tenant/namespace/topic.')];
  }
  return [ok('namespace', found.name), ...checkKeeping(found, paceOf({ run, file }))];
}

async function inspectTopic(
  cloud: Cloud,
  cluster: PulsarCluster,
  { pulsar }: RuleSettings,
  findings: CheckResult[],
): Promise<boolean> {
  const name = listedTopic(pulsar.topic.topic);
  const topics = await listTopics(cloud, cluster.id, pulsar.topic.namespace, name);
  const found = topics.find((one) => one.name === name);
  findings.push(
    found === undefined
      ? fail(
          'topic',
          `namespace ${pulsar.topic.namespace} has no topic ${name}`,
          'Correct PULSAR_TOPIC, or create the topic in the TDMQ console.',
        )
      : ok('topic', `${name}, ${found.partitions || 'no'} partitions`),
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
  { pulsar }: RuleSettings,
): Promise<CheckResult> {
  const { subscription: name, subscriptionType, topic } = pulsar;
  const found = await findSubscription(cloud, cluster.id, topic.namespace, listedTopic(topic.topic), name);
  const item = 'subscription';
  if (found === undefined) {
    return warn(
      item,
      `${name} does not exist; the first run makes it, at ${pulsar.initialPosition}`,
      'Create it in the TDMQ console before the rule, so that no message is dropped until then.',
    );
  }
  const state = `${name}, backlog ${found.backlog ?? 'unknown'}`;
  if (found.consumers.length === 0) return ok(item, `${state}, no consumers`);
  const isOtherType = found.type !== undefined && found.type !== TYPE_NAMES[subscriptionType];
  const result = isOtherType || subscriptionType === 'exclusive' ? fail : warn;
  return result(
    item,
    `${state}, consumers are connected: ${found.consumers.join(', ')}${isOtherType ? `; it is ${found.type}` : ''}`,
    'If they are not runs of this rule, give the rule a subscription of its own: what others acknowledge is not backed up.',
  );
}

async function inspectRole(
  cloud: Cloud,
  cluster: PulsarCluster,
  namespace: string,
  name: string,
): Promise<CheckResult> {
  const role = (await listRoles(cloud, cluster.id, namespace)).find((one) => one.name === name);
  if (role === undefined) {
    const hint = 'Create the role in the TDMQ console, or correct TDMQ_ROLE_NAME.';
    return fail('role', `cluster ${cluster.id} has no role ${name}`, hint);
  }
  return role.permissions.includes('consume')
    ? ok('role', `${name} may ${role.permissions.join(' and ')} in ${namespace}`)
    : fail(
        'role',
        `${name} may not consume from ${namespace}`,
        'Grant the role consume on the namespace, in the TDMQ console.',
      );
}

async function inspectSubnet(cloud: Cloud, subnetId: string): Promise<CheckResult> {
  const answer = await cloud.call('vpc', 'DescribeSubnets', { SubnetIds: [subnetId] });
  const free = answer.SubnetSet?.[0]?.AvailableIpAddressCount ?? 0;
  return free > 0
    ? ok('subnet', `${subnetId} has ${free} free addresses`)
    : fail(
        'subnet',
        `${subnetId} has no free address, or is not in this region`,
        'Choose another subnet of the VPC.',
      );
}

function addressFinding(
  points: readonly AccessPoint[],
  serviceUrl: string,
  vpcId: string | undefined,
): CheckResult {
  const item = 'network';
  const host = (url: string) => url.replace(/^[a-z+]+:\/\//, '').replace(/\/$/, '');
  const own = points.filter((one) => host(one.serviceUrl) === host(serviceUrl));
  const reachedFrom = own.map((one) => one.vpcId).join(', ');
  if (own.length === 0) {
    const known = points.map((one) => `${one.serviceUrl} in ${one.vpcId}`).join(', ') || 'none';
    return warn(
      item,
      `PULSAR_SERVICE_URL ${serviceUrl} is none of the cluster's private addresses (${known})`,
      'Use the access address of the VPC that the function is in; a public address costs traffic and may be closed.',
    );
  }
  if (vpcId === undefined || own.some((one) => one.vpcId === vpcId)) {
    return ok(item, `${serviceUrl} in ${reachedFrom}`);
  }
  return fail(
    item,
    `the function is in ${vpcId}, but the address is reached from ${reachedFrom}`,
    `Put the function into that VPC, or bind ${vpcId} to the cluster in the TDMQ console.`,
  );
}
