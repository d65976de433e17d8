// Fills in what a rule's form lacks by asking, with lists of what the account has.
import { VARIABLES } from '../../config.ts';
import { ifThere, isForbidden } from '../../rules/api-failure.ts';
import { allPages, type Cloud } from '../../rules/cloud.ts';
import { faultOfName } from '../../rules/resolve-rule.ts';
import { faultOfTime, listSubnets } from '../../rules/resolve-source.ts';
import type { FieldName, RuleForm } from '../../rules/rule-form.ts';
import {
  type AccessPoint,
  findCluster,
  findSubscription,
  listAccessPoints,
  listClusters,
  listedTopic,
  listNamespaces,
  listRoles,
  listSubscriptions,
  listTopics,
} from '../../rules/tdmq-lookup.ts';
import type { Choice, Prompt } from '../terminal/prompt.ts';
import { UsageError } from '../usage-error.ts';

export interface Asked {
  readonly form: RuleForm;
  /** Make the run role where it does not exist. */
  readonly createRunRole: boolean;
}

const NEW = Symbol('new');

/** Asks for each field that is missing, in the order of the form. */
export async function askForm(
  cloud: Cloud,
  given: RuleForm,
  prompt: Prompt,
  options: { createRunRole: boolean; listBuckets: () => Promise<readonly string[]> },
): Promise<Asked> {
  const fields: Partial<Record<FieldName, string>> = { ...given.fields };
  const fill = async (name: FieldName, ask: () => Promise<string | undefined>) => {
    if (fields[name] !== undefined) return;
    const answer = await ask();
    if (answer !== undefined && answer !== '') fields[name] = answer;
  };
  const setting = (name: keyof typeof VARIABLES) => (text: string) => {
    const { schema, expected, example } = VARIABLES[name];
    return text === '' || schema.safeParse(text).success
      ? undefined
      : `expected ${expected}, such as ${example}`;
  };

  await fill('name', () =>
    prompt.ask('Name of the rule (fixed afterwards)', { check: (text) => faultOfName(cloud, text) }),
  );
  await fill('cluster', async () =>
    prompt.pick(
      'Cluster',
      some(await listClusters(cloud), `Pulsar cluster in ${cloud.region}`).map((one) => ({
        label: `${one.id}  ${one.name}`,
        value: one.id,
      })),
    ),
  );
  const cluster = await findCluster(cloud, fields.cluster as string);
  if (cluster === undefined) throw new UsageError(`--cluster ${fields.cluster}: not in ${cloud.region}`);

  await fill('namespace', async () =>
    prompt.pick(
      'Namespace',
      choices(some(await listNamespaces(cloud, cluster.id), `namespace in ${cluster.id}`)),
    ),
  );
  const namespace = fields.namespace as string;
  await fill('topic', async () =>
    prompt.pick(
      'Topic',
      choices(some(await listTopics(cloud, cluster.id, namespace), `topic in ${namespace}`)),
    ),
  );
  const place = [cluster.id, namespace, listedTopic(fields.topic as string)] as const;
  await fill('subscription', async () => {
    const found = (await ifThere(listSubscriptions(cloud, ...place))) ?? [];
    const picked = await prompt.pick<string | typeof NEW>('Subscription', [
      { label: 'a new one', value: NEW },
      ...found.map((one) => ({
        label: `${one.name}  (backlog ${one.backlog ?? 'unknown'}, ${one.consumers.length} consumers)`,
        value: one.name,
      })),
    ]);
    return picked === NEW
      ? prompt.ask('Name of the new subscription', {
          fallback: 'backup',
          check: setting('PULSAR_SUBSCRIPTION'),
        })
      : picked;
  });
  await fill('start', async () => {
    const existing = await findSubscription(cloud, ...place, fields.subscription as string);
    const stay: Choice<string> = { label: 'where the subscription is', value: '' };
    // A subscription is moved only while nobody consumes.
    if (existing !== undefined && existing.consumers.length > 0) return prompt.pick('Start', [stay]);
    const start = await prompt.pick('Start', [
      { label: 'the earliest message there is', value: 'earliest' },
      { label: 'messages from now on', value: 'latest' },
      { label: 'a time', value: 'time' },
      ...(existing === undefined ? [] : [stay]),
    ]);
    return start === 'time'
      ? prompt.ask('Time, such as 2026-01-31T00:00:00Z', {
          check: (text) => faultOfTime(text, cloud.clock.now()),
        })
      : start;
  });
  if (given.settings['PULSAR_TOKEN'] === undefined) {
    await fill('tdmqRole', async () => {
      const able = (await listRoles(cloud, cluster.id, namespace)).filter((one) =>
        one.permissions.includes('consume'),
      );
      return prompt.pick('TDMQ role', choices(some(able, `role that may consume from ${namespace}`)));
    });
  }
  if (fields.serviceUrl === undefined && fields.vpc === undefined) {
    const points = some(await listAccessPoints(cloud, cluster), `private address of ${cluster.id}`);
    const point = await prompt.pick(
      'Private address',
      points.map((one) => ({ label: `${one.serviceUrl} in ${one.vpcId} / ${one.subnetId}`, value: one })),
    );
    fields.serviceUrl = point.serviceUrl;
    fields.vpc = point.vpcId;
    fields.subnet ??= await askSubnet(cloud, prompt, point);
  }
  await fill('bucket', async () => {
    const buckets = await options.listBuckets();
    const ask = () => prompt.ask('Bucket (name-appid)', { check: setting('COS_BUCKET') });
    if (buckets.length === 0) return ask();
    const picked = await prompt.pick<string | typeof NEW>('Bucket', [
      ...buckets.map((name) => ({ label: name, value: name })),
      { label: 'another', value: NEW },
    ]);
    return picked === NEW ? ask() : picked;
  });
  await fill('prefix', () =>
    prompt.ask('Prefix of the objects, ending with /', { fallback: '', check: setting('COS_PREFIX') }),
  );
  await fill('interval', () =>
    prompt.ask('Minutes between runs', { fallback: '5', check: setting('RUN_INTERVAL_MINUTES') }),
  );
  if (fields.clsTopic === undefined) Object.assign(fields, await askLogTopic(cloud, prompt));
  let { createRunRole } = options;
  await fill('runRole', async () => {
    if (createRunRole) return undefined;
    const picked = await prompt.pick<string | typeof NEW>('Run role (CAM)', [
      { label: 'make a new one with the least policy', value: NEW },
      ...(await scfRoles(cloud)).map((name) => ({ label: name, value: name })),
    ]);
    createRunRole = picked === NEW;
    return picked === NEW ? undefined : picked;
  });
  return { form: { fields, settings: given.settings }, createRunRole };
}

/** The subnet of the address where that has free IP addresses, else one of its VPC that has. */
async function askSubnet(cloud: Cloud, prompt: Prompt, point: AccessPoint): Promise<string> {
  const subnets = await listSubnets(cloud, point.vpcId).catch((error: unknown) => {
    if (isForbidden(error)) return [];
    throw error;
  });
  const free = subnets.filter((one) => one.freeIps > 0);
  if (subnets.length === 0 || free.some((one) => one.id === point.subnetId)) return point.subnetId;
  return prompt.pick(
    `Subnet of the function (${point.subnetId} has no free IP address)`,
    some(free, `subnet of ${point.vpcId} with a free IP address`).map((one) => ({
      label: `${one.id}  ${one.name}, ${one.freeIps} free`,
      value: one.id,
    })),
  );
}

/** Without logs in CLS there is no history of runs; where these keys may not look, nothing is asked. */
async function askLogTopic(cloud: Cloud, prompt: Prompt): Promise<Partial<Record<FieldName, string>>> {
  const topics = await allPages(async (Offset) => {
    const answer = await cloud.call('cls', 'DescribeTopics', { Offset, Limit: 100 });
    return { rows: answer.Topics, total: answer.TotalCount };
  }).catch((error: unknown) => {
    if (isForbidden(error)) return [];
    throw error;
  });
  if (topics.length === 0) return {};
  return await prompt.pick<Partial<Record<FieldName, string>>>(
    'Log topic (CLS), for `rule logs` and the state of runs',
    [
      ...topics.map((one) => ({
        label: `${one.TopicName}  ${one.TopicId}`,
        value: { clsLogset: one.LogsetId ?? '', clsTopic: one.TopicId ?? '' },
      })),
      { label: 'no logs', value: {} },
    ],
  );
}

function some<T>(list: readonly T[], what: string): readonly T[] {
  if (list.length === 0) throw new UsageError(`there is no ${what}: make one in the console first`);
  return list;
}

const choices = (list: readonly { name: string }[]): Choice<string>[] =>
  list.map(({ name }) => ({ label: name, value: name }));

/** The roles that SCF may take on; none where these keys may not look. */
async function scfRoles(cloud: Cloud): Promise<string[]> {
  const roles = await allPages(async (offset) => {
    const answer = await cloud.call('cam', 'DescribeRoleList', { Page: offset / 200 + 1, Rp: 200 });
    return { rows: answer.List, total: answer.TotalNum };
  }).catch((error: unknown) => {
    if (isForbidden(error)) return [];
    throw error;
  });
  return roles
    .filter((one) => one.PolicyDocument?.includes('scf.qcloud.com'))
    .map((one) => one.RoleName ?? '');
}
