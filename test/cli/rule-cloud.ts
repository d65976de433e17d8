// The rule commands against the loopback cloud, through main() as a person calls them. Every output is searched for
// secrets.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { type CloudApi, startCloudApi } from '../../src/local/cloud-api/server.ts';
import { type Cluster, type ScfFunction, seedCluster } from '../../src/local/cloud-api/state.ts';
import { testIo } from './io.ts';

export const ROLE_KEY = 'eyJhbGciOiJIUzI1NiJ9.role-key-of-the-test';

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface RuleCloud {
  readonly api: CloudApi;
  readonly cluster: Cluster;
  /** A folder of this test. */
  readonly folder: string;
  readonly zip: string;
  /** `tdmq-backup rule …` without a terminal. */
  rule(...args: string[]): Promise<Ran>;
  /** On a terminal; answers are given in order. */
  ruleOnTerminal(args: string[], answers: string[]): Promise<Ran>;
  /** With an environment or a signal of its own. */
  ruleWith(given: { env?: Record<string, string>; signal?: AbortSignal }, ...args: string[]): Promise<Ran>;
  /** Makes the rule `orders-backup`, with a log topic. */
  createOrders(...more: string[]): Promise<ScfFunction>;
  close(): Promise<void>;
}

export const CREATE = [
  'create',
  ...['--name', 'orders-backup', '--cluster', 'pulsar-abc', '--namespace', 'default', '--topic', 'orders'],
  ...['--subscription', 'backup', '--tdmq-role', 'backup-reader', '--bucket', 'archive-1250000000'],
  ...['--prefix', 'tdmq/orders/', '--create-run-role', '--yes'],
];

/** A loopback cloud with one cluster in ap-guangzhou, and a package to upload. */
export async function startRuleCloud(): Promise<RuleCloud> {
  const api = await startCloudApi({ token: 'session-token-of-the-test' });
  const cluster = seedCluster(api.state, { token: ROLE_KEY });
  api.state.logTopics.set('log-topic', []);
  const folder = mkdtempSync(join(tmpdir(), 'rule-'));
  const zip = join(folder, 'function.zip');
  writeFileSync(zip, 'PK\u0003\u0004 the code');
  const { secretId, secretKey, token } = api.account;
  const env = {
    HOME: folder,
    TENCENTCLOUD_SECRET_ID: secretId,
    TENCENTCLOUD_SECRET_KEY: secretKey,
    TENCENTCLOUD_TOKEN: token ?? '',
    TENCENTCLOUD_REGION: 'ap-guangzhou',
    TENCENTCLOUD_API_ENDPOINT: api.endpoint,
  };

  async function run(
    args: readonly string[],
    given: { env?: Record<string, string>; signal?: AbortSignal; answers?: readonly string[] },
  ): Promise<Ran> {
    const { io, out, err } = testIo(given.env ?? env, given.signal);
    if (given.answers !== undefined) {
      Object.assign(io.stdin, { isTTY: true });
      Object.assign(io.stdout, { isTTY: true });
      Object.assign(io.stderr, { isTTY: true });
      (io.stdin as NodeJS.ReadWriteStream).end(given.answers.map((line) => `${line}\n`).join(''));
    }
    const needsCode = args[0] === 'create' || args.includes('--update-code');
    const own = needsCode && !args.includes('--package') ? [...args, '--package', zip] : args;
    const code = await main(['rule', ...own], io);
    const ran = { code, out: out(), err: err() };
    for (const secret of [secretKey, token ?? secretKey, ROLE_KEY]) {
      expect(ran.out + ran.err).not.toContain(secret);
    }
    return ran;
  }

  const cloud: RuleCloud = {
    api,
    cluster,
    folder,
    zip,
    rule: (...args) => run(args, {}),
    ruleOnTerminal: (args, answers) => run(args, { answers }),
    ruleWith: (given, ...args) => run(args, { ...given, env: { ...env, ...given.env } }),
    createOrders: async (...more) => {
      const ran = await cloud.rule(...CREATE, '--cls-logset', 'log-set', '--cls-topic', 'log-topic', ...more);
      expect(ran).toMatchObject({ code: 0 });
      return api.state.functions.get('orders-backup') as ScfFunction;
    },
    close: async () => {
      await api.close();
      rmSync(folder, { recursive: true });
    },
  };
  return cloud;
}

/** Everything a rule leaves in the cloud, to be compared before and after. */
export function tracesIn({ api, cluster }: RuleCloud): object {
  const { functions, camRoles, camPolicies } = api.state;
  const topic = cluster.environments.get('default')?.topics.get('orders');
  return {
    functions: [...functions.keys()],
    roles: [...camRoles.keys()],
    policies: [...camPolicies.values()].map((one) => one.name),
    subscriptions: [...(topic?.subscriptions.keys() ?? [])],
  };
}
