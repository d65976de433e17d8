// What the TDMQ API reports about Pulsar clusters, of both kinds (professional instances and virtual clusters), in one
// shape. Reads only; the keys of roles are dropped where they arrive.
import { ifThere } from './api-failure.ts';
import { allPages, type Cloud } from './cloud.ts';
import type { Keeping } from './time-to-live.ts';

export interface PulsarCluster {
  readonly id: string;
  readonly name: string;
  readonly kind: 'pro' | 'virtual';
  /** What topics' names begin with. */
  readonly tenant: string;
  readonly version: string;
  readonly isNormal: boolean;
  /** Of virtual clusters: the private address, where the API reports it. */
  readonly address: string | undefined;
}

/** A private address of a cluster, and the network that reaches it. */
export interface AccessPoint {
  readonly vpcId: string;
  readonly subnetId: string;
  readonly serviceUrl: string;
}

export interface Subscription {
  readonly name: string;
  /** Names and addresses of the consumers connected to it. */
  readonly consumers: readonly string[];
  readonly backlog: number | undefined;
  /** As the broker has it; known only while consumers are connected. */
  readonly type: string | undefined;
}

const PAGE = 20;

/** The clusters of the region. */
export async function listClusters(cloud: Cloud): Promise<PulsarCluster[]> {
  const instances = await allPages(async (Offset) => {
    const answer = await cloud.call('tdmq', 'DescribePulsarProInstances', { Offset, Limit: PAGE });
    return { rows: answer.Instances, total: answer.TotalCount };
  });
  const virtual = await allPages(async (Offset) => {
    const answer = await cloud.call('tdmq', 'DescribeClusters', { Offset, Limit: PAGE });
    return { rows: answer.ClusterSet, total: answer.TotalCount };
  });
  const pro = instances.map(
    (one): PulsarCluster => ({
      id: one.InstanceId ?? '',
      name: one.InstanceName ?? '',
      kind: 'pro',
      tenant: one.Tenant || one.InstanceId || '',
      version: one.InstanceVersion ?? '',
      isNormal: one.Status === 1,
      address: undefined,
    }),
  );
  const known = new Set(pro.map((one) => one.id));
  return [
    ...pro,
    ...virtual
      .filter((one) => !known.has(one.ClusterId ?? ''))
      .map(
        (one): PulsarCluster => ({
          id: one.ClusterId ?? '',
          name: one.ClusterName ?? '',
          kind: 'virtual',
          tenant: one.ClusterId ?? '',
          version: one.Version ?? '',
          isNormal: one.Status === 1,
          address: one.VpcEndPoint || one.OldVpcEndPoint || undefined,
        }),
      ),
  ];
}

/** The cluster with this id, or whose topics begin with this tenant. */
export async function findCluster(cloud: Cloud, idOrTenant: string): Promise<PulsarCluster | undefined> {
  const all = await listClusters(cloud);
  return all.find((one) => one.id === idOrTenant) ?? all.find((one) => one.tenant === idOrTenant);
}

/** Its private addresses. */
export async function listAccessPoints(cloud: Cloud, cluster: PulsarCluster): Promise<AccessPoint[]> {
  if (cluster.kind === 'pro') {
    const { NetworkAccessPointInfos: points } = await cloud.call('tdmq', 'DescribePulsarProInstanceDetail', {
      ClusterId: cluster.id,
    });
    return (points ?? [])
      .filter((one) => one.RouteType === 1 && one.Endpoint)
      .map((one) => ({
        vpcId: one.VpcId ?? '',
        subnetId: one.SubnetId ?? '',
        serviceUrl: serviceUrl(one.Endpoint as string),
      }));
  }
  const bound = await allPages(async (Offset) => {
    const answer = await cloud.call('tdmq', 'DescribeBindVpcs', {
      ClusterId: cluster.id,
      Offset,
      Limit: PAGE,
    });
    return { rows: answer.VpcSets, total: answer.TotalCount };
  });
  return bound.map((one) => ({
    vpcId: one.UniqueVpcId ?? '',
    subnetId: one.UniqueSubnetId ?? '',
    serviceUrl: serviceUrl(cluster.address ?? `${one.Ip}:${one.Port}`),
  }));
}

/** The first address of several, with a scheme: TDMQ's addresses without one speak HTTP for look-ups. */
function serviceUrl(endpoint: string): string {
  const [first = ''] = endpoint.split(/[,;\s]+/);
  return /^[a-z+]+:\/\//.test(first) ? first : `http://${first}`;
}

/** The namespaces of a cluster, with how long they keep messages. TDMQ does not document the unit of their expiry. */
export async function listNamespaces(
  cloud: Cloud,
  clusterId: string,
): Promise<({ readonly name: string } & Keeping)[]> {
  const rows = await allPages(async (Offset) => {
    const answer = await cloud.call('tdmq', 'DescribeEnvironments', {
      ClusterId: clusterId,
      Offset,
      Limit: PAGE,
    });
    return { rows: answer.EnvironmentSet, total: answer.TotalCount };
  });
  return rows.map((one) => ({
    name: one.EnvironmentId ?? '',
    ttlSeconds: one.MsgTTL,
    retentionSeconds: (one.RetentionPolicy?.TimeInMinutes ?? 0) * 60,
  }));
}

/** The name that the TDMQ API lists a topic by, also where one of its partitions is meant. */
export const listedTopic = (name: string) => name.replace(/-partition-\d+$/, '');

/** The topics of a namespace; `namePart` narrows the search. */
export async function listTopics(
  cloud: Cloud,
  clusterId: string,
  namespace: string,
  namePart?: string,
): Promise<{ name: string; partitions: number }[]> {
  const rows = await allPages(async (Offset) => {
    const answer = await cloud.call('tdmq', 'DescribeTopics', {
      ClusterId: clusterId,
      EnvironmentId: namespace,
      TopicName: namePart,
      Offset,
      Limit: PAGE,
    });
    return { rows: answer.TopicSets, total: answer.TotalCount };
  });
  return rows.map((one) => ({ name: one.TopicName ?? '', partitions: one.Partitions ?? 0 }));
}

/** The subscriptions of a topic; `namePart` narrows the search. */
export async function listSubscriptions(
  cloud: Cloud,
  clusterId: string,
  namespace: string,
  topic: string,
  namePart?: string,
): Promise<Subscription[]> {
  const rows = await allPages(async (Offset) => {
    const answer = await cloud.call('tdmq', 'DescribeSubscriptions', {
      ClusterId: clusterId,
      EnvironmentId: namespace,
      TopicName: topic,
      SubscriptionName: namePart,
      Offset,
      Limit: PAGE,
    });
    return { rows: answer.SubscriptionSets, total: answer.TotalCount };
  });
  return rows.map((one) => ({
    name: one.SubscriptionName ?? '',
    consumers: consumersOf(one),
    backlog: one.MsgBacklog ? Number(one.MsgBacklog) : undefined,
    type: one.SubType || undefined,
  }));
}

function consumersOf(one: {
  ConsumerSets?: { ConsumerName?: string; ConsumerAddr?: string }[] | null;
  ConsumerCount?: string | null;
}): string[] {
  const named = (one.ConsumerSets ?? []).map(
    (consumer) => `${consumer.ConsumerName || 'unnamed'} at ${consumer.ConsumerAddr || 'an unknown address'}`,
  );
  const unnamed = Math.max(0, Number(one.ConsumerCount ?? 0) - named.length);
  return [...named, ...Array.from({ length: unnamed }, () => 'unnamed')];
}

/** One subscription, or `undefined` where it (or its topic) does not exist. */
export async function findSubscription(
  cloud: Cloud,
  clusterId: string,
  namespace: string,
  topic: string,
  name: string,
): Promise<Subscription | undefined> {
  const found = await ifThere(listSubscriptions(cloud, clusterId, namespace, topic, name));
  return found?.find((one) => one.name === name);
}

/** Where messages come from, down to the first part that is not there. */
export interface FoundSource {
  readonly cluster?: PulsarCluster;
  readonly namespace?: { readonly name: string } & Keeping;
  readonly topic?: { readonly name: string; readonly partitions: number };
  readonly subscription?: Subscription;
}

/** Looks for cluster, namespace, topic and subscription, one in the other. */
export async function findSource(
  cloud: Cloud,
  wanted: { clusterId: string; namespace: string; topic: string; subscription: string },
): Promise<FoundSource> {
  const cluster = await findCluster(cloud, wanted.clusterId);
  if (cluster === undefined) return {};
  const namespaces = await listNamespaces(cloud, cluster.id);
  const namespace = namespaces.find((one) => one.name === wanted.namespace);
  if (namespace === undefined) return { cluster };
  const topics = await listTopics(cloud, cluster.id, namespace.name, wanted.topic);
  const topic = topics.find((one) => one.name === wanted.topic);
  if (topic === undefined) return { cluster, namespace };
  const location = [cluster.id, namespace.name, topic.name] as const;
  const subscription = await findSubscription(cloud, ...location, wanted.subscription);
  return { cluster, namespace, topic, ...(subscription && { subscription }) };
}

/** The roles of a cluster and what each may do in the namespace: `produce`, `consume`, or nothing. */
export async function listRoles(
  cloud: Cloud,
  clusterId: string,
  namespace: string,
): Promise<{ name: string; keyBytes: number; permissions: readonly string[] }[]> {
  const roles = await allPages(async (Offset) => {
    const answer = await cloud.call('tdmq', 'DescribeRoles', { ClusterId: clusterId, Offset, Limit: PAGE });
    // The key itself is read only where it is used.
    const rows = answer.RoleSets?.map((one) => ({
      name: one.RoleName ?? '',
      keyBytes: one.Token?.length ?? 0,
    }));
    return { rows, total: answer.TotalCount };
  });
  const grants = await allPages(async (Offset) => {
    const answer = await cloud.call('tdmq', 'DescribeEnvironmentRoles', {
      ClusterId: clusterId,
      EnvironmentId: namespace,
      Offset,
      Limit: PAGE,
    });
    return { rows: answer.EnvironmentRoleSets, total: answer.TotalCount };
  });
  return roles.map(({ name, keyBytes }) => ({
    name,
    keyBytes,
    permissions: grants
      .filter((one) => one.RoleName === name && one.EnvironmentId === namespace)
      .flatMap((one) => one.Permissions ?? []),
  }));
}
