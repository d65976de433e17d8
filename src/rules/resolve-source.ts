// Where a rule's messages come from, looked up for a form: cluster, namespace, topic, subscription and its start, the
// private address and the network that reaches it. Faults are gathered, not thrown.
import { type Cloud, ifThere } from './cloud.ts';
import type { FieldName, RuleForm } from './rule-form.ts';
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
  type Subscription,
} from './tdmq-lookup.ts';

/** Milliseconds since the epoch; `undefined`: the subscription stays where it is. */
export type StartPosition = number | undefined;

const RUNS_WITHIN_TTL = 8;

/** A topic of which at least the cluster was found. */
export interface FoundTopic {
  readonly cluster: PulsarCluster;
  readonly subscription: Subscription | undefined;
}

/** The topic and what it is part of; `undefined` where not even the cluster is there. */
export async function resolveTopic(
  cloud: Cloud,
  { fields, settings }: RuleForm,
  faults: string[],
  warnings: string[],
): Promise<FoundTopic | undefined> {
  const { cluster: clusterId, namespace, topic, subscription } = fields as Record<FieldName, string>;
  const cluster = await findCluster(cloud, clusterId);
  if (cluster === undefined) {
    faults.push(
      `--cluster ${clusterId}: no such Pulsar cluster in ${cloud.region}; it must be in the function's region`,
    );
    return undefined;
  }
  if (!cluster.isNormal) faults.push(`--cluster ${cluster.id}: the cluster is not in its normal state`);
  const found = (await listNamespaces(cloud, cluster.id)).find((one) => one.name === namespace);
  if (found === undefined) {
    faults.push(`--namespace ${namespace}: not in cluster ${cluster.id}`);
    return { cluster, subscription: undefined };
  }
  const intervalSeconds = Number(fields.interval ?? 5) * 60;
  if (
    found.ttlSeconds !== undefined &&
    found.ttlSeconds > 0 &&
    found.ttlSeconds < RUNS_WITHIN_TTL * intervalSeconds
  ) {
    warnings.push(
      `namespace ${namespace} drops unread messages after ${found.ttlSeconds} s; a few failed runs would lose messages`,
    );
  }
  if (fields.tdmqRole !== undefined) {
    const role = (await listRoles(cloud, cluster.id, namespace)).find((one) => one.name === fields.tdmqRole);
    if (role === undefined) faults.push(`--tdmq-role ${fields.tdmqRole}: not in cluster ${cluster.id}`);
    else if (!role.permissions.includes('consume')) {
      faults.push(
        `--tdmq-role ${role.name}: may not consume from namespace ${namespace}; grant it in the TDMQ console`,
      );
    }
  } else if (settings['PULSAR_TOKEN'] === undefined) {
    faults.push('--tdmq-role: not given; name a role that may consume from the namespace');
  }
  const topics = await listTopics(cloud, cluster.id, namespace, listedTopic(topic));
  if (!topics.some((one) => one.name === listedTopic(topic))) {
    faults.push(`--topic ${topic}: not in namespace ${namespace} of cluster ${cluster.id}`);
    return { cluster, subscription: undefined };
  }
  return {
    cluster,
    subscription: await findSubscription(cloud, cluster.id, namespace, topic, subscription),
  };
}

/** The cluster's private address, and the network to reach it from. */
export async function resolveNetwork(
  cloud: Cloud,
  { fields }: RuleForm,
  cluster: PulsarCluster | undefined,
  faults: string[],
): Promise<AccessPoint | undefined> {
  if (cluster === undefined) return undefined;
  const points = await listAccessPoints(cloud, cluster);
  const matching = points.filter(
    (one) =>
      (fields.vpc === undefined || one.vpcId === fields.vpc) &&
      (fields.serviceUrl === undefined || one.serviceUrl === fields.serviceUrl),
  );
  const known = points.map((one) => `${one.serviceUrl} in ${one.vpcId}/${one.subnetId}`).join(', ') || 'none';
  let point = matching[0];
  if (
    point === undefined &&
    fields.serviceUrl !== undefined &&
    fields.vpc !== undefined &&
    fields.subnet !== undefined
  ) {
    // An address that the API does not list (a private link, a proxy): the person answers for it.
    point = { serviceUrl: fields.serviceUrl, vpcId: fields.vpc, subnetId: fields.subnet };
  }
  if (point === undefined) {
    faults.push(
      `--vpc: cluster ${cluster.id} has no such private address (it has: ${known}); add one in the TDMQ console`,
    );
    return undefined;
  }
  if (new Set(matching.map((one) => one.serviceUrl + one.vpcId)).size > 1) {
    faults.push(
      `--vpc: cluster ${cluster.id} has several private addresses (${known}); choose with --vpc or --service-url`,
    );
  }
  const chosen = { ...point, subnetId: fields.subnet ?? point.subnetId };
  await checkSubnet(cloud, chosen, faults);
  return chosen;
}

async function checkSubnet(cloud: Cloud, { vpcId, subnetId }: AccessPoint, faults: string[]): Promise<void> {
  const found = await ifThere(cloud.call('vpc', 'DescribeSubnets', { SubnetIds: [subnetId] }));
  const subnet = found?.SubnetSet?.find((one) => one.SubnetId === subnetId);
  if (subnet === undefined) faults.push(`--subnet ${subnetId}: does not exist in ${cloud.region}`);
  else if (subnet.VpcId !== vpcId) faults.push(`--subnet ${subnetId}: not in ${vpcId}`);
  else if (subnet.AvailableIpAddressCount === 0) {
    faults.push(`--subnet ${subnetId}: has no free address; choose another subnet of ${vpcId}`);
  }
}

/** Where the subscription is to begin. A position is moved only while nobody consumes. */
export function resolveStart(
  { fields: { start }, settings }: RuleForm,
  existing: Subscription | undefined,
  nowMs: number,
  faults: string[],
): StartPosition {
  // A subscription that was there keeps its place unless a start is asked for; a new one keeps all that is there.
  const initial = settings['PULSAR_INITIAL_POSITION'] ?? 'earliest';
  const wanted = start ?? (existing === undefined ? initial : undefined);
  if (wanted === undefined) return undefined;
  if (existing !== undefined && existing.consumers.length > 0) {
    faults.push(
      `--start ${wanted}: consumers are connected to ${existing.name} (${existing.consumers.join(', ')}); stop them first, or leave --start out to go on from where it is`,
    );
  }
  if (wanted === 'earliest') return 1;
  if (wanted === 'latest') return nowMs;
  const isIso = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/.test(wanted);
  const ms = isIso ? Date.parse(wanted) : Number.NaN;
  if (Number.isNaN(ms)) {
    faults.push(
      `--start ${wanted}: expected earliest, latest or an ISO time with its zone, such as 2026-01-31T00:00:00Z`,
    );
  } else if (ms > nowMs) {
    faults.push(`--start ${wanted}: lies in the future`);
  }
  return ms;
}
