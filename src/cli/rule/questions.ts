// What `rule create` asks for: one question for each field that is not given, with lists of what the account has.

import { ifThere, isForbidden } from '../../rules/api-failure.ts';
import { allPages, type Cloud } from '../../rules/cloud.ts';
import { faultOfInterval } from '../../rules/resolve-function.ts';
import { defaultPrefix, faultOfName } from '../../rules/resolve-rule.ts';
import { faultOfTime, listSubnets } from '../../rules/resolve-source.ts';
import type { RuleForm } from '../../rules/rule-form.ts';
import { defaultTimeoutSeconds } from '../../rules/schedule.ts';
import {
  findCluster,
  findSubscription,
  listAccessPoints,
  listClusters,
  listedTopic,
  listNamespaces,
  listRoles,
  listSubscriptions,
  listTopics,
  type PulsarCluster,
} from '../../rules/tdmq-lookup.ts';
import { VARIABLES } from '../../settings.ts';
import type { Choice, Prompt } from '../terminal/prompt.ts';
import { UsageError } from '../usage-error.ts';
import { type Asked, type Fields, filled, kindsOfQuestion, TYPED } from './question-kinds.ts';
import type { Question } from './wizard.ts';

const SUBSCRIPTION_TYPES: readonly Choice<string>[] = [
  // The default, which no setting names.
  { label: 'exclusive: one run at a time, each message stored once', value: '' },
  { label: 'failover: the same, and several instances share the partitions', value: 'failover' },
  { label: 'shared: at least once, in no order', value: 'shared' },
  { label: 'key_shared: at least once, in the order of each key', value: 'key_shared' },
];

const LINGERS: readonly Choice<string | typeof TYPED>[] = [
  { label: 'no: each run stores all that there is', value: '' },
  { label: 'up to an hour, for fewer and larger files', value: '60' },
  { label: 'up to another time', value: TYPED },
];

/** The questions, in the order in which they are asked. */
export function ruleQuestions(
  cloud: Cloud,
  prompt: Prompt,
  given: RuleForm,
  listBuckets: () => Promise<readonly string[]>,
): readonly Question<Asked>[] {
  const { choice, list, text } = kindsOfQuestion(prompt);
  const clusterOf = async (fields: Fields): Promise<PulsarCluster> => {
    const cluster = await findCluster(cloud, fields.cluster as string);
    if (cluster === undefined) throw new UsageError(`--cluster ${fields.cluster}: not in ${cloud.region}`);
    return cluster;
  };
  const topicOf = async (fields: Fields) =>
    [(await clusterOf(fields)).id, fields.namespace as string, listedTopic(fields.topic as string)] as const;

  return [
    text('name', 'Name', [], {
      question: 'Name of the rule (fixed afterwards)',
      check: (given) => faultOfName(cloud, given),
    }),
    list('cluster', 'Cluster', [], async () =>
      some(await listClusters(cloud), `Pulsar cluster in ${cloud.region}`).map((one) => ({
        label: `${one.id}  ${one.name}`,
        value: one.id,
      })),
    ),
    list('namespace', 'Namespace', ['Cluster'], async (fields) => {
      const { id } = await clusterOf(fields);
      return byName(some(await listNamespaces(cloud, id), `namespace in ${id}`));
    }),
    list('topic', 'Topic', ['Namespace'], async (fields) => {
      const namespace = fields.namespace as string;
      const { id } = await clusterOf(fields);
      return byName(some(await listTopics(cloud, id, namespace), `topic in ${namespace}`));
    }),
    list(
      'subscription',
      'Subscription',
      ['Topic'],
      async (fields) => {
        const found = (await ifThere(listSubscriptions(cloud, ...(await topicOf(fields))))) ?? [];
        return [
          { label: 'a new one', value: TYPED },
          ...found.map((one) => ({
            label: `${one.name}  (backlog ${one.backlog ?? 'unknown'}, ${one.consumers.length} consumers)`,
            value: one.name,
          })),
        ];
      },
      {
        question: 'Name of the new subscription',
        fallback: () => 'backup',
        check: settingCheck('PULSAR_SUBSCRIPTION'),
      },
    ),
    list('subscriptionType', 'Subscription type', ['Subscription'], async () => SUBSCRIPTION_TYPES),
    list(
      'start',
      'Start',
      ['Subscription'],
      async (fields) => {
        const name = fields.subscription as string;
        const existing = await findSubscription(cloud, ...(await topicOf(fields)), name);
        const stay = { label: 'where the subscription is', value: '' };
        // A subscription is moved only while nobody consumes.
        if (existing !== undefined && existing.consumers.length > 0) return [stay];
        return [
          { label: 'the earliest message there is', value: 'earliest' },
          { label: 'messages from now on', value: 'latest' },
          { label: 'a time', value: TYPED },
          ...(existing === undefined ? [] : [stay]),
        ];
      },
      {
        question: 'Time, such as 2026-01-31T00:00:00Z',
        check: (given) => faultOfTime(given, cloud.clock.now()),
      },
    ),
    choice(
      'TDMQ role',
      ['Namespace'],
      ({ form }) => form.settings['PULSAR_TOKEN'] === undefined && form.fields.tdmqRole === undefined,
      async (fields) => {
        const namespace = fields.namespace as string;
        const able = (await listRoles(cloud, (await clusterOf(fields)).id, namespace)).filter((one) =>
          one.permissions.includes('consume'),
        );
        return some(able, `role that may consume from ${namespace}`).map(({ name }) => ({
          label: name,
          value: filled({ tdmqRole: name }),
        }));
      },
    ),
    choice(
      'Private address',
      ['Cluster'],
      ({ form }) => form.fields.serviceUrl === undefined && form.fields.vpc === undefined,
      async (fields) => {
        const cluster = await clusterOf(fields);
        return some(await listAccessPoints(cloud, cluster), `private address of ${cluster.id}`).map(
          (one) => ({
            label: `${one.serviceUrl} in ${one.vpcId} / ${one.subnetId}`,
            value: filled({
              serviceUrl: one.serviceUrl,
              vpc: one.vpcId,
              subnet: fields.subnet ?? one.subnetId,
            }),
          }),
        );
      },
    ),
    // Asked only where the subnet of the chosen address is full.
    choice(
      'Subnet of the function',
      ['Private address'],
      ({ form }) => form.fields.subnet !== given.fields.subnet && given.fields.vpc === undefined,
      async ({ vpc, subnet }) => freeSubnets(cloud, vpc as string, subnet as string),
    ),
    list(
      'bucket',
      'Bucket',
      [],
      async () => [
        ...(await listBuckets()).map((name) => ({ label: name, value: name })),
        { label: 'another', value: TYPED },
      ],
      { question: 'Bucket (name-appid)', check: settingCheck('COS_BUCKET') },
    ),
    text('prefix', 'Prefix', ['Topic'], {
      question: 'Prefix of the objects, ending with /',
      fallback: ({ topic }) => defaultPrefix(topic),
      check: settingCheck('COS_PREFIX'),
    }),
    text('interval', 'Interval', [], {
      question: 'Minutes between runs',
      fallback: () => '5',
      check: (given) => settingCheck('RUN_INTERVAL_MINUTES')(given) ?? faultOfInterval(Number(given || '5')),
    }),
    list(
      'linger',
      'Wait for fuller files',
      ['Subscription type'],
      // What others may get meanwhile cannot wait.
      async ({ subscriptionType = '' }) =>
        subscriptionType.endsWith('shared') ? [{ label: '', value: '' }] : LINGERS,
      {
        question: 'Minutes that a message waits at most, 0 to 720',
        fallback: () => '0',
        check: settingCheck('FILE_LINGER_MINUTES'),
      },
    ),
    text('memory', 'Memory', [], {
      question: 'Memory of the function in MB',
      fallback: () => '512',
      check: memoryFault,
    }),
    text('timeout', 'Time limit', ['Interval'], {
      question: 'Time limit of a run in seconds',
      fallback: ({ interval }) => String(defaultTimeoutSeconds(Number(interval))),
      check: timeoutFault,
    }),
    choice(
      'Log topic (CLS), for `rule logs` and the state of runs',
      [],
      ({ form }) => form.fields.clsTopic === undefined,
      () => logTopics(cloud),
    ),
    choice(
      'Run role (CAM)',
      [],
      ({ form, createRunRole }) => form.fields.runRole === undefined && !createRunRole,
      async () => [
        { label: 'make a new one with the least policy', value: { ...filled({}), createRunRole: true } },
        ...(await scfRoles(cloud)).map((name) => ({ label: name, value: filled({ runRole: name }) })),
      ],
    ),
  ];
}

const settingCheck = (name: keyof typeof VARIABLES) => (given: string) => {
  const { schema, expected, example } = VARIABLES[name];
  return given === '' || schema.safeParse(given).success
    ? undefined
    : `expected ${expected}, such as ${example}`;
};

const isWhole = (given: string, min: number, max: number) =>
  /^\d+$/.test(given) && Number(given) >= min && Number(given) <= max;

const memoryFault = (given: string) =>
  isWhole(given, 128, 3_072) && Number(given) % 128 === 0
    ? undefined
    : 'expected 128 to 3072 in steps of 128, such as 512';

const timeoutFault = (given: string) =>
  isWhole(given, 1, 900) ? undefined : 'expected 1 to 900, such as 285';

/** The subnet of the address where that has free IP addresses, else those of its VPC that have. */
async function freeSubnets(cloud: Cloud, vpc: string, subnet: string): Promise<readonly Choice<Asked>[]> {
  const subnets = await ifAllowed(listSubnets(cloud, vpc));
  const free = subnets.filter((one) => one.freeIps > 0);
  if (subnets.length === 0 || free.some((one) => one.id === subnet))
    return [{ label: '', value: filled({}) }];
  return some(free, `subnet of ${vpc} with a free IP address`).map((one) => ({
    label: `${one.id}  ${one.name}, ${one.freeIps} free (${subnet} has no free IP address)`,
    value: filled({ subnet: one.id }),
  }));
}

/** Without logs in CLS there is no history of runs; where these keys may not look, nothing is asked. */
async function logTopics(cloud: Cloud): Promise<readonly Choice<Asked>[]> {
  const topics = await ifAllowed(
    allPages(async (Offset) => {
      const answer = await cloud.call('cls', 'DescribeTopics', { Offset, Limit: 100 });
      return { rows: answer.Topics, total: answer.TotalCount };
    }),
  );
  if (topics.length === 0) return [{ label: '', value: filled({}) }];
  return [
    ...topics.map((one) => ({
      label: `${one.TopicName}  ${one.TopicId}`,
      value: filled({ clsLogset: one.LogsetId ?? '', clsTopic: one.TopicId ?? '' }),
    })),
    { label: "SCF's own topic", value: filled({}) },
  ];
}

/** The roles that SCF may take on; none where these keys may not look. */
async function scfRoles(cloud: Cloud): Promise<string[]> {
  const roles = await ifAllowed(
    allPages(async (offset) => {
      const answer = await cloud.call('cam', 'DescribeRoleList', { Page: offset / 200 + 1, Rp: 200 });
      return { rows: answer.List, total: answer.TotalNum };
    }),
  );
  return roles
    .filter((one) => one.PolicyDocument?.includes('scf.qcloud.com'))
    .map((one) => one.RoleName ?? '');
}

/** A list, or an empty one where these keys may not see it. */
const ifAllowed = <T>(list: Promise<readonly T[]>): Promise<readonly T[]> =>
  list.catch((error: unknown) => {
    if (isForbidden(error)) return [];
    throw error;
  });

function some<T>(list: readonly T[], what: string): readonly T[] {
  if (list.length === 0) throw new UsageError(`there is no ${what}: make one in the console first`);
  return list;
}

const byName = (list: readonly { name: string }[]): Choice<string>[] =>
  list.map(({ name }) => ({ label: name, value: name }));
