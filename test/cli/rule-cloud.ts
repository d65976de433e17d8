// The rule commands against the loopback cloud, through main() as a person calls them. Every output is searched for
// secrets.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { type LoopbackCos, startLoopbackCos } from '../../src/local/cos/server.ts';
import { type HastyClock, hastyClock } from '../fakes/hasty-clock.ts';
import { type CloudApi, startCloudApi } from '../stand-ins/cloud-api/server.ts';
import {
  type Cluster,
  type ScfFunction,
  type Subscription,
  seedCluster,
} from '../stand-ins/cloud-api/state.ts';
import { exampleValues, resolveInputs } from '../stand-ins/framework.ts';
import { makeOnce } from './made-once.ts';
import { testTerminal } from './terminal.ts';
import { typeAnswers } from './typist.ts';

export const ROLE_KEY = 'eyJhbGciOiJIUzI1NiJ9.role-key-of-the-test';

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface RuleCloud {
  readonly api: CloudApi;
  readonly cluster: Cluster;
  /** Holds the bucket archive-1250000000. */
  readonly cos: LoopbackCos;
  /** A folder of this test. */
  readonly folder: string;
  readonly zip: string;
  /** That of the commands, for one in a process of its own. */
  readonly env: Readonly<Record<string, string>>;
  /** In place of the real one: waiting takes no time. */
  readonly clock: HastyClock;
  /** `tdmq-backup rule …` without a terminal. */
  rule(...args: string[]): Promise<Ran>;
  /** On a terminal; answers are given in order. */
  ruleOnTerminal(args: string[], answers: string[], env?: Record<string, string>): Promise<Ran>;
  /** With an environment or a signal of its own. */
  ruleWith(given: { env?: Record<string, string>; signal?: AbortSignal }, ...args: string[]): Promise<Ran>;
  /** Makes the rule `orders-backup`, with a log topic; it is a copy where it was made before. */
  createOrders(...more: string[]): Promise<ScfFunction>;
  close(): Promise<void>;
}

export const CREATE = [
  'create',
  ...['--name', 'orders-backup', '--cluster', 'pulsar-abc', '--namespace', 'default', '--topic', 'orders'],
  ...['--subscription', 'backup', '--tdmq-role', 'backup-reader', '--bucket', 'archive-1250000000'],
  ...['--prefix', 'tdmq/orders/', '--create-run-role', '--yes'],
];

/** As CREATE, where these options replace its own. */
export function createWith(...more: string[]): string[] {
  const isReplaced = (word = '') => word.startsWith('--') && more.includes(word);
  return [...CREATE.filter((word, i) => !isReplaced(word) && !isReplaced(CREATE[i - 1])), ...more];
}

/** A loopback cloud with one cluster in ap-guangzhou, and a package to upload. */
export async function startRuleCloud(): Promise<RuleCloud> {
  const api = await startCloudApi({ token: 'session-token-of-the-test' });
  const cluster = seedCluster(api.state, { token: ROLE_KEY });
  api.state.logTopics.set('log-topic', []);
  const folder = mkdtempSync(join(tmpdir(), 'rule-'));
  const { secretId, secretKey, token } = api.account;
  const cos = await startLoopbackCos({
    dir: join(folder, 'cos'),
    buckets: [{ name: 'archive-1250000000', region: 'ap-guangzhou' }],
    credentials: { secretId, secretKey, sessionToken: token },
  });
  const zip = join(folder, 'function.zip');
  writeFileSync(zip, 'PK\u0003\u0004 the code');
  const clock = hastyClock();
  const env = {
    HOME: folder,
    TENCENTCLOUD_SECRET_ID: secretId,
    TENCENTCLOUD_SECRET_KEY: secretKey,
    TENCENTCLOUD_TOKEN: token ?? '',
    TENCENTCLOUD_REGION: 'ap-guangzhou',
    TENCENTCLOUD_API_ENDPOINT: api.endpoint,
    TENCENTCLOUD_COS_ENDPOINT: cos.url,
  };

  async function run(
    args: readonly string[],
    given: { env?: Record<string, string>; signal?: AbortSignal; answers?: readonly string[] },
  ): Promise<Ran> {
    const { terminal, out, err } = testTerminal(given.env ?? env, given.signal, { clock });
    if (given.answers !== undefined) typeAnswers(terminal, given.answers);
    const needsCode = args[0] === 'create' || args.includes('--update-code');
    const own = needsCode && !args.includes('--package') ? [...args, '--package', zip] : args;
    const code = await main(['rule', ...own], terminal);
    const ran = { code, out: out(), err: err() };
    for (const secret of [secretKey, token ?? secretKey, ROLE_KEY]) {
      expect(ran.out + ran.err).not.toContain(secret);
    }
    return ran;
  }

  const cloud: RuleCloud = {
    api,
    cluster,
    cos,
    folder,
    zip,
    env,
    clock,
    rule: (...args) => run(args, {}),
    ruleOnTerminal: (args, answers, own) => run(args, { answers, env: { ...env, ...own } }),
    ruleWith: (given, ...args) => run(args, { ...given, env: { ...env, ...given.env } }),
    createOrders: async (...more) => {
      const args = createWith('--cls-logset', 'log-set', '--cls-topic', 'log-topic', ...more);
      await makeOnce(api, args, async () => expect(await cloud.rule(...args)).toMatchObject({ code: 0 }));
      return api.state.functions.get('orders-backup') as ScfFunction;
    },
    close: async () => {
      await Promise.all([api.close(), cos.close()]);
      rmSync(folder, { recursive: true });
    },
  };
  return cloud;
}

/** Every call of a creation from its first change on: the action, and how many calls of it come before. */
export const CREATION: readonly (readonly [action: string, after: number])[] = [
  ['cam:CreateRole', 0],
  ['cam:CreatePolicy', 0],
  ['cam:AttachRolePolicy', 0],
  // Reads the role's key; the plan has looked for the role before.
  ['tdmq:DescribeRoles', 1],
  ['scf:CreateFunction', 0],
  // Waits for the function; the plan has looked whether the name is free before.
  ['scf:GetFunction', 1],
  ['scf:GetFunction', 2],
  ['scf:PutReservedConcurrencyConfig', 0],
  ['scf:UpdateFunctionEventInvokeConfig', 0],
  ['tdmq:CreateSubscription', 0],
  ['tdmq:ResetMsgSubOffsetByTimestamp', 0],
  ['scf:CreateTrigger', 0],
];

/** Everything a rule leaves in the cloud, to be compared before and after. */
export function tracesIn({ api, cluster }: RuleCloud): object {
  const { functions, camRoles, camPolicies } = api.state;
  const topic = cluster.environments.get('default')?.topics.get('orders');
  return structuredClone({
    functions: [...functions.values()].map(({ addTime: _, modTime: __, pollsLeft: ___, ...rest }) => rest),
    roles: [...camRoles.values()],
    policies: [...camPolicies.values()],
    subscriptions: [...(topic?.subscriptions.values() ?? [])],
  });
}

/** The values of .env.example but for what is in this cloud. */
export const stageValues = (name: string): Record<string, string> => ({
  ...exampleValues(),
  RULE_NAME: name,
  PULSAR_SERVICE_URL: 'http://pulsar-abc.tdmq.ap-gz.qcloud.tencenttdmq.com:8080',
  PULSAR_TOKEN: ROLE_KEY,
  DEPLOY_ROLE: 'run-role',
  DEPLOY_VPC_ID: 'vpc-1',
  DEPLOY_SUBNET_ID: 'subnet-1',
  DEPLOY_CLS_LOGSET_ID: 'log-set',
  DEPLOY_CLS_TOPIC_ID: 'log-topic',
});

/** A function as serverless.yml makes it. */
export function deployByHand(cloud: RuleCloud, name: string, given: Partial<ScfFunction> = {}): ScfFunction {
  const inputs = resolveInputs(stageValues(name));
  const timer = inputs.events[0].timer.parameters;
  const fn: ScfFunction = {
    name: inputs.name,
    region: inputs.region,
    status: 'Active',
    pollsLeft: 0,
    zip: new Uint8Array(),
    handler: inputs.handler,
    runtime: inputs.runtime,
    description: inputs.description,
    memory: inputs.memorySize,
    timeout: inputs.timeout,
    environment: inputs.environment.variables,
    vpc: { VpcId: inputs.vpcConfig.vpcId, SubnetId: inputs.vpcConfig.subnetId },
    publicNet: inputs.publicAccess,
    role: inputs.role,
    cls: inputs.cls,
    tags: Object.entries<string>(inputs.tags).map(([Key, Value]) => ({ Key, Value })),
    triggers: [
      {
        name: timer.name,
        type: 'timer',
        cron: timer.cronExpression,
        open: timer.enable,
        qualifier: timer.qualifier,
        argument: timer.argument,
      },
    ],
    reservedMemory: undefined,
    retry: { retryNum: 2, ttlSeconds: 21_600 },
    addTime: '2026-01-01 00:00:00',
    modTime: '2026-01-01 00:00:00',
    ...given,
  };
  cloud.api.state.functions.set(name, fn);
  subscribe(cloud);
  return fn;
}

/** Puts the subscription `backup` there, with messages that wait. */
export function subscribe(cloud: RuleCloud, given: Partial<Subscription> = {}): void {
  const subscription = { name: 'backup', consumers: [], backlog: 7, type: '', resetTo: undefined, ...given };
  cloud.cluster.environments.get('default')?.topics.get('orders')?.subscriptions.set('backup', subscription);
}

let runs = 0;
/** A line of a run in the log topic, as SCF writes it there. */
export function log(
  cloud: RuleCloud,
  name: string,
  minutesAgo: number,
  line: Record<string, unknown>,
  scf: Record<string, string> = {},
): string {
  const requestId = String(line['requestId'] ?? `request-${++runs}`);
  const fields = { rule: name, requestId, ...line };
  addLine(cloud, name, minutesAgo, requestId, {
    SCF_Type: 'Custom',
    SCF_StatusCode: '202',
    SCF_Message: JSON.stringify(fields),
    ...scf,
  });
  return requestId;
}

/** The last line of a good run of `orders-backup`. */
export const finish = (
  cloud: RuleCloud,
  minutesAgo: number,
  more: object = {},
  scf?: Record<string, string>,
) =>
  log(
    cloud,
    'orders-backup',
    minutesAgo,
    {
      ...{ message: 'run finished', stopReason: 'caught_up', messages: 1_200, objects: 3 },
      ...{ recordBytes: 345_678, durationMs: 2_100, ...more },
    },
    scf,
  );

/** The last line of a run of `orders-backup` that failed. */
export const fail = (cloud: RuleCloud, minutesAgo: number, errorMessage: string, more: object = {}) =>
  log(cloud, 'orders-backup', minutesAgo, {
    ...{ message: 'run failed', stopReason: 'failed', messages: 0, errorMessage, ...more },
  });

/** SCF's own lines about a run: its report comes with the status, those before with 202. */
export function logReport(
  cloud: RuleCloud,
  name: string,
  minutesAgo: number,
  requestId: string,
  scf: Record<string, string>,
): void {
  const platform = { SCF_Type: 'Platform' };
  const start = { SCF_StatusCode: '202', SCF_Message: `START RequestId: ${requestId}` };
  addLine(cloud, name, minutesAgo, requestId, { ...platform, ...start });
  const report = { SCF_Message: `Report RequestId: ${requestId} Duration:120ms`, SCF_Duration: '120' };
  addLine(cloud, name, minutesAgo, requestId, { ...platform, ...report, ...scf });
}

function addLine(
  cloud: RuleCloud,
  name: string,
  minutesAgo: number,
  requestId: string,
  fields: Record<string, string>,
): void {
  cloud.api.state.logTopics.get('log-topic')?.push({
    timeMs: cloud.clock.now() - minutesAgo * 60_000,
    fields: { SCF_FunctionName: name, SCF_RequestId: requestId, SCF_RetryNum: '0', ...fields },
  });
}
