// TDMQ API 2020-02-17, the part about Pulsar clusters that a control plane of rules needs. No messages flow here.
import { type Action, page, type Scene } from './action.ts';
import { ApiError } from './api-error.ts';
import type { Cluster, Environment, Subscription, Topic } from './state.ts';

function clusterOf({ request, state, region }: Scene): Cluster {
  const cluster = state.clusters.get(request['ClusterId']);
  if (cluster === undefined || cluster.region !== region) {
    throw new ApiError('ResourceNotFound.Cluster', 'The cluster does not exist.');
  }
  return cluster;
}

function environmentOf(scene: Scene): Environment {
  const environment = clusterOf(scene).environments.get(scene.request['EnvironmentId']);
  if (environment === undefined)
    throw new ApiError('ResourceNotFound.Namespace', 'The namespace does not exist.');
  return environment;
}

function topicOf(scene: Scene): Topic {
  const topic = environmentOf(scene).topics.get(scene.request['TopicName']);
  if (topic === undefined) throw new ApiError('ResourceNotFound.Topic', 'The topic does not exist.');
  return topic;
}

/** Lists names that contain `parameter`, paged by 20 at the most as the API does. */
function matching<T extends { name: string }>(all: Iterable<T>, scene: Scene, parameter: string) {
  const part = scene.request[parameter] ?? '';
  const found = [...all].filter((one) => one.name.includes(part));
  return { total: found.length, rows: page(found, scene, 10, 20) };
}

const paged = { Offset: 'number', Limit: 'number', Filters: 'array' } as const;

function clustersOf(scene: Scene, kind: Cluster['kind']): Cluster[] {
  return [...scene.state.clusters.values()].filter((one) => one.kind === kind && one.region === scene.region);
}

function describeSubscription(topic: Topic, environment: string, one: Subscription) {
  return {
    TopicName: topic.name,
    EnvironmentId: environment,
    SubscriptionName: one.name,
    ConsumerCount: String(one.consumers.length),
    IsOnline: one.consumers.length > 0,
    MsgBacklog: String(one.backlog),
    SubType: one.consumers.length > 0 ? one.type : '',
    ConsumerSets: one.consumers.map((name) => ({ ConsumerName: name, ConsumerAddr: '/10.0.0.9:40000' })),
    BlockedSubscriptionOnUnackedMsgs: false,
  };
}

export const tdmqActions: Readonly<Record<string, Action>> = {
  DescribePulsarProInstances: {
    takes: paged,
    answer: (scene) => {
      const all = clustersOf(scene, 'pro');
      return {
        TotalCount: all.length,
        Instances: page(all, scene, 20, 100).map((one) => ({
          InstanceId: one.id,
          InstanceName: one.name,
          InstanceVersion: one.version,
          Status: one.status,
          Tenant: one.tenant ?? one.id,
        })),
      };
    },
  },
  DescribePulsarProInstanceDetail: {
    takes: { ClusterId: 'string!' },
    answer: (scene) => {
      const cluster = clusterOf(scene);
      if (cluster.kind !== 'pro') throw new ApiError('ResourceNotFound.Instance', 'No such instance.');
      return {
        ClusterInfo: {
          ClusterId: cluster.id,
          ClusterName: cluster.name,
          Status: cluster.status,
          Version: cluster.version,
          Tenant: cluster.tenant ?? cluster.id,
        },
        NetworkAccessPointInfos: [
          { RouteType: 0, Endpoint: `http://${cluster.id}.internal:8080`, VpcId: null, SubnetId: null },
          ...cluster.access.map((point) => ({
            RouteType: 1,
            VpcId: point.vpcId,
            SubnetId: point.subnetId,
            Endpoint: `http://${point.address}`,
            InstanceId: cluster.id,
            OperationType: 0,
            StandardAccessPoint: true,
          })),
        ],
      };
    },
  },
  DescribeClusters: {
    takes: { ...paged, ClusterIdList: 'array', IsTagFilter: 'boolean' },
    answer: (scene) => {
      const wanted = scene.request['ClusterIdList'] as string[] | undefined;
      const all = clustersOf(scene, 'virtual').filter((one) => !wanted?.length || wanted.includes(one.id));
      return {
        TotalCount: all.length,
        ClusterSet: page(all, scene, 10, 20).map((one) => ({
          ClusterId: one.id,
          ClusterName: one.name,
          Status: one.status,
          Healthy: 1,
          Version: one.version,
          VpcEndPoint: one.access[0] === undefined ? null : `http://${one.access[0].address}`,
          PublicEndPoint: null,
        })),
      };
    },
  },
  DescribeBindVpcs: {
    takes: { Offset: 'number', Limit: 'number', ClusterId: 'string' },
    answer: (scene) => {
      const { access } = clusterOf(scene);
      return {
        TotalCount: access.length,
        VpcSets: page(access, scene, 10, 20).map((point) => ({
          UniqueVpcId: point.vpcId,
          UniqueSubnetId: point.subnetId,
          Ip: point.address.split(':')[0],
          Port: Number(point.address.split(':')[1]),
        })),
      };
    },
  },
  DescribeEnvironments: {
    takes: { ...paged, ClusterId: 'string!', EnvironmentId: 'string' },
    answer: (scene) => {
      const { total, rows } = matching(clusterOf(scene).environments.values(), scene, 'EnvironmentId');
      return {
        TotalCount: total,
        EnvironmentSet: rows.map((one) => ({
          EnvironmentId: one.name,
          NamespaceName: one.name,
          MsgTTL: one.ttlSeconds,
          RetentionPolicy: { TimeInMinutes: one.retentionMinutes ?? 0, SizeInMB: 0 },
          TopicNum: one.topics.size,
        })),
      };
    },
  },
  DescribeTopics: {
    takes: { ...paged, ClusterId: 'string!', EnvironmentId: 'string!', TopicName: 'string' },
    answer: (scene) => {
      const { total, rows } = matching(environmentOf(scene).topics.values(), scene, 'TopicName');
      return {
        TotalCount: total,
        TopicSets: rows.map((one) => ({
          TopicName: one.name,
          Partitions: one.partitions,
          PulsarTopicType: 3,
        })),
      };
    },
  },
  DescribeSubscriptions: {
    takes: {
      ...paged,
      ClusterId: 'string!',
      EnvironmentId: 'string!',
      TopicName: 'string!',
      SubscriptionName: 'string',
    },
    answer: (scene) => {
      const topic = topicOf(scene);
      const { total, rows } = matching(topic.subscriptions.values(), scene, 'SubscriptionName');
      return {
        TotalCount: total,
        SubscriptionSets: rows.map((one) => describeSubscription(topic, scene.request['EnvironmentId'], one)),
      };
    },
  },
  CreateSubscription: {
    takes: {
      ClusterId: 'string!',
      EnvironmentId: 'string!',
      TopicName: 'string!',
      SubscriptionName: 'string!',
      IsIdempotent: 'boolean!',
      Remark: 'string',
      AutoCreatePolicyTopic: 'boolean',
    },
    answer: (scene) => {
      const { subscriptions } = topicOf(scene);
      const name = scene.request['SubscriptionName'] as string;
      if (subscriptions.has(name)) {
        if (scene.request['IsIdempotent']) return { Result: true };
        throw new ApiError('ResourceInUse.Subscription', 'The subscription exists.');
      }
      subscriptions.set(name, { name, consumers: [], backlog: 0, type: 'Exclusive', resetTo: undefined });
      return { Result: true };
    },
  },
  DeleteSubscriptions: {
    takes: {
      SubscriptionTopicSets: 'array!',
      ClusterId: 'string',
      EnvironmentId: 'string',
      Force: 'boolean',
    },
    answer: (scene) => {
      const sets = scene.request['SubscriptionTopicSets'] as Record<string, string>[];
      const done = sets.map((set) => {
        const { subscriptions } = topicOf({ ...scene, request: { ...scene.request, ...set } });
        const found = subscriptions.get(set['SubscriptionName'] as string);
        if (found === undefined) throw new ApiError('ResourceNotFound.Subscription', 'No such subscription.');
        if (found.consumers.length > 0 && !scene.request['Force']) {
          throw new ApiError('OperationDenied.ConsumerRunning', 'Consumers are connected.');
        }
        subscriptions.delete(found.name);
        return set;
      });
      return { SubscriptionTopicSets: done };
    },
  },
  ResetMsgSubOffsetByTimestamp: {
    takes: {
      ClusterId: 'string!',
      EnvironmentId: 'string!',
      TopicName: 'string!',
      Subscription: 'string!',
      ToTimestamp: 'number!',
    },
    answer: (scene) => {
      const found = topicOf(scene).subscriptions.get(scene.request['Subscription']);
      if (found === undefined) throw new ApiError('ResourceNotFound.Subscription', 'No such subscription.');
      found.resetTo = scene.request['ToTimestamp'];
      return { Result: true };
    },
  },
  DescribeRoles: {
    takes: { ...paged, ClusterId: 'string!', RoleName: 'string' },
    answer: (scene) => {
      const { total, rows } = matching(clusterOf(scene).roles.values(), scene, 'RoleName');
      return {
        TotalCount: total,
        RoleSets: rows.map((one) => ({ RoleName: one.name, Token: one.token, Remark: '' })),
      };
    },
  },
  DescribeEnvironmentRoles: {
    takes: { ...paged, ClusterId: 'string!', EnvironmentId: 'string', RoleName: 'string' },
    answer: (scene) => {
      const grants = [...clusterOf(scene).roles.values()].flatMap((role) =>
        [...role.grants]
          .filter(([environment]) => environment === (scene.request['EnvironmentId'] ?? environment))
          .map(([environment, permissions]) => ({ name: role.name, environment, permissions })),
      );
      const { total, rows } = matching(grants, scene, 'RoleName');
      return {
        TotalCount: total,
        EnvironmentRoleSets: rows.map((one) => ({
          EnvironmentId: one.environment,
          RoleName: one.name,
          Permissions: one.permissions,
        })),
      };
    },
  },
};
