// Where a rule's messages come from, looked up for a form: cluster, namespace, topic, subscription and its start, the
// private address and the network that reaches it. Faults are gathered, not thrown.

import type { Fault } from '../errors.ts';
import { parseTimeText, TIME_EXPECTED } from '../lib/time-text.ts';
import { VARIABLES } from '../settings.ts';
import { ifThere } from './api-failure.ts';
import { allPages, type Cloud } from './cloud.ts';
import { type FieldName, faultOf, notGiven, type RuleForm } from './rule-form.ts';
import {
  type AccessPoint,
  findSource,
  listAccessPoints,
  listedTopic,
  listRoles,
  type PulsarCluster,
  type Subscription,
} from './tdmq-lookup.ts';
import { isShortTimeToLive, type Keeping } from './time-to-live.ts';

/** Milliseconds since the epoch; `undefined`: the subscription stays where it is. */
export type StartPosition = number | undefined;

/** A topic of which at least the cluster was found. */
export interface FoundTopic {
  readonly cluster: PulsarCluster;
  readonly subscription: Subscription | undefined;
  /** 0: the topic is not partitioned. */
  readonly partitions?: number | undefined;
  /** How large the key of the role that is given is. */
  readonly keyBytes?: number | undefined;
}

/** The topic and what it is part of; `undefined` where not even the cluster is there. */
export async function resolveTopic(
  cloud: Cloud,
  form: RuleForm,
  faults: Fault[],
  warnings: string[],
): Promise<FoundTopic | undefined> {
  const { cluster: clusterId, namespace, topic, subscription } = form.fields as Record<FieldName, string>;
  const { cluster, ...found } = await findSource(cloud, {
    ...{ clusterId, namespace, subscription },
    topic: listedTopic(topic),
  });
  if (cluster === undefined) {
    const what = `no such Pulsar cluster in ${cloud.region}; it must be in the function's region`;
    faults.push(faultOf('cluster', clusterId, what));
    return undefined;
  }
  if (!cluster.isNormal)
    faults.push(faultOf('cluster', cluster.id, 'the cluster is not in its normal state'));
  if (found.namespace === undefined) {
    faults.push(faultOf('namespace', namespace, `not in cluster ${cluster.id}`));
    return { cluster, subscription: undefined };
  }
  warnings.push(...timeToLiveWarning(form, found.namespace));
  const role = await resolveTdmqRole(cloud, form, cluster);
  faults.push(...role.faults);
  if (found.topic === undefined) {
    faults.push(faultOf('topic', topic, `not in namespace ${namespace} of cluster ${cluster.id}`));
  }
  return {
    cluster,
    subscription: found.subscription,
    partitions: found.topic?.partitions,
    keyBytes: role.keyBytes,
  };
}

function timeToLiveWarning(
  { fields }: RuleForm,
  { name, ttlSeconds }: { readonly name: string } & Keeping,
): string[] {
  const intervalSeconds = Number(fields.interval ?? VARIABLES.RUN_INTERVAL_MINUTES.fallback) * 60;
  const lingerSeconds = Number(fields.linger ?? 0) * 60;
  if (!isShortTimeToLive(ttlSeconds, { intervalSeconds, lingerSeconds })) return [];
  const what = lingerSeconds === 0 ? '' : `, and messages linger for ${lingerSeconds} s`;
  return [
    `namespace ${name} drops unread messages after ${ttlSeconds} s${what}; a few failed runs would lose messages`,
  ];
}

/** The role whose key the function has must be there, and may consume. A given key is used as it is. */
async function resolveTdmqRole(
  cloud: Cloud,
  { fields, settings }: RuleForm,
  cluster: PulsarCluster,
): Promise<{ faults: Fault[]; keyBytes?: number }> {
  const { tdmqRole, namespace = '' } = fields;
  if (tdmqRole === undefined) {
    const isGiven = settings['PULSAR_TOKEN'] !== undefined;
    const fault = notGiven('tdmqRole', 'name a role that may consume from the namespace');
    return { faults: isGiven ? [] : [fault] };
  }
  const role = (await listRoles(cloud, cluster.id, namespace)).find((one) => one.name === tdmqRole);
  if (role === undefined) return { faults: [faultOf('tdmqRole', tdmqRole, `not in cluster ${cluster.id}`)] };
  const refusal = `may not consume from namespace ${namespace}; grant it in the TDMQ console`;
  const faults = role.permissions.includes('consume') ? [] : [faultOf('tdmqRole', role.name, refusal)];
  return { faults, keyBytes: role.keyBytes };
}

/** The cluster's private address, and the network to reach it from. */
export async function resolveNetwork(
  cloud: Cloud,
  { fields }: RuleForm,
  cluster: PulsarCluster | undefined,
  faults: Fault[],
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
    faults.push({
      setting: '--vpc',
      text: `--vpc: cluster ${cluster.id} has no such private address (it has: ${known}); add one in the TDMQ console`,
    });
    return undefined;
  }
  if (new Set(matching.map((one) => one.serviceUrl + one.vpcId)).size > 1) {
    faults.push({
      setting: '--vpc',
      text: `--vpc: cluster ${cluster.id} has several private addresses (${known}); choose with --vpc or --service-url`,
    });
  }
  const chosen = { ...point, subnetId: fields.subnet ?? point.subnetId };
  await checkSubnet(cloud, chosen, faults);
  return chosen;
}

async function checkSubnet(cloud: Cloud, { vpcId, subnetId }: AccessPoint, faults: Fault[]): Promise<void> {
  const found = await ifThere(cloud.call('vpc', 'DescribeSubnets', { SubnetIds: [subnetId] }));
  const subnet = found?.SubnetSet?.find((one) => one.SubnetId === subnetId);
  if (subnet === undefined) faults.push(faultOf('subnet', subnetId, `does not exist in ${cloud.region}`));
  else if (subnet.VpcId !== vpcId) faults.push(faultOf('subnet', subnetId, `not in ${vpcId}`));
  else if (subnet.AvailableIpAddressCount === 0) {
    faults.push(faultOf('subnet', subnetId, `has no free address; choose another subnet of ${vpcId}`));
  }
}

/** The subnets of a VPC, and how many addresses each has left. */
export async function listSubnets(
  cloud: Cloud,
  vpcId: string,
): Promise<{ id: string; name: string; freeIps: number }[]> {
  const rows = await allPages(async (offset) => {
    const answer = await cloud.call('vpc', 'DescribeSubnets', {
      Filters: [{ Name: 'vpc-id', Values: [vpcId] }],
      Offset: String(offset),
      Limit: '100',
    });
    return { rows: answer.SubnetSet, total: answer.TotalCount };
  });
  return rows.map((one) => ({
    id: one.SubnetId ?? '',
    name: one.SubnetName ?? '',
    freeIps: one.AvailableIpAddressCount ?? 0,
  }));
}

/** Where the subscription is to begin. A position is moved only while nobody consumes. */
export function resolveStart(
  { fields: { start }, settings }: RuleForm,
  existing: Subscription | undefined,
  nowMs: number,
  faults: Fault[],
): StartPosition {
  // A subscription that was there keeps its place unless a start is asked for; a new one keeps all that is there.
  const initial = settings['PULSAR_INITIAL_POSITION'] ?? 'earliest';
  const wanted = start ?? (existing === undefined ? initial : undefined);
  if (wanted === undefined) return undefined;
  if (existing !== undefined && existing.consumers.length > 0) {
    const consumers = existing.consumers.join(', ');
    const what = `consumers are connected to ${existing.name} (${consumers}); stop them first, or leave --start out to go on from where it is`;
    faults.push(faultOf('start', wanted, what));
  }
  if (wanted === 'earliest') return 1;
  if (wanted === 'latest') return nowMs;
  const fault = faultOfTime(wanted, nowMs);
  if (fault !== undefined) faults.push(faultOf('start', wanted, fault));
  return parseTimeText(wanted);
}

/** What is wrong with a time to start at. */
export function faultOfTime(text: string, nowMs: number): string | undefined {
  const ms = parseTimeText(text);
  if (ms === undefined) return `expected earliest, latest or ${TIME_EXPECTED}`;
  return ms > nowMs ? 'is in the future' : undefined;
}
