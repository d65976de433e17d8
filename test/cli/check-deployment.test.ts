// `tdmq-backup check --env-file`: what a deployment with the file would lack, and how it knows that it is for one.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { main } from '../../src/cli/main.ts';
import type { CheckResult } from '../../src/rules/check-result.ts';
import { type LoopbackStage, startLoopbackStage } from '../stage/loopback-stage.ts';
import { testTerminal } from './terminal.ts';

let rule: LoopbackStage;
beforeEach(async () => {
  rule = await startLoopbackStage();
});
afterEach(() => rule.close());

const DEPLOYED = {
  DEPLOY_ROLE: 'tdmq-backup-run',
  DEPLOY_VPC_ID: 'vpc-abc12345',
  DEPLOY_SUBNET_ID: 'subnet-abc12345',
  DEPLOY_MEMORY_MB: '512',
  DEPLOY_TIMEOUT_SECONDS: '285',
};
const OWN = { COS_PREFIX: 'tdmq/orders/', RUN_INTERVAL_MINUTES: '5', COS_REGION: 'ap-guangzhou' };

/** Checks with a file of these settings, and nothing but API keys in the environment. */
async function check(changes: Record<string, string | undefined>, name = '.env.orders') {
  const isKey = ([key]: [string, unknown]) => key.startsWith('TENCENTCLOUD_');
  const all = Object.entries({ ...rule.env, ...OWN, ...changes });
  const path = join(rule.folder, '..', name);
  writeFileSync(
    path,
    all
      .filter((entry) => !isKey(entry) && entry[1] !== undefined)
      .map(([key, value]) => `${key}=${value}\n`)
      .join(''),
  );
  const { terminal, out } = testTerminal(Object.fromEntries(all.filter(isKey)));
  const code = await main(['check', '--json', '--no-cloud', '--read-only', '--env-file', path], terminal);
  const { findings } = JSON.parse(out()) as { findings: CheckResult[] };
  return { code, findings: findings.filter(({ item }) => item === 'deployment') };
}

test('✓ with the command that deploys with its memory and time-out', async () => {
  const { code, findings } = await check({ ...DEPLOYED, DEPLOY_MEMORY_MB: '1024' });
  expect(findings).toMatchObject([
    { status: 'ok', cause: expect.stringContaining('--inputs memorySize=1024 timeout=285') },
  ]);
  expect(code).toBe(0);
});

test.each([...Object.keys(DEPLOYED), ...Object.keys(OWN), 'RULE_NAME'])(
  '✗ without %s, which would drop out without a word',
  async (name) => {
    for (const value of name === 'COS_PREFIX' ? [undefined] : [undefined, '']) {
      const { code, findings } = await check({ ...DEPLOYED, [name]: value });
      expect(code).toBe(1);
      expect(findings).toMatchObject([
        { status: 'fail', cause: expect.stringMatching(`^${name} is not set: `), hint: expect.anything() },
      ]);
    }
  },
);

test('✗ for each of several, beside settings that are wrong', async () => {
  const { findings } = await check({ DEPLOY_ROLE: 'run', COS_BUCKET: undefined });
  expect(findings.map(({ cause }) => cause.split(' ')[0])).toEqual(
    Object.keys(DEPLOYED).filter((name) => name !== 'DEPLOY_ROLE'),
  );
});

test.each([
  ['DEPLOY_MEMORY_MB', '500'],
  ['DEPLOY_MEMORY_MB', 'much'],
  ['DEPLOY_MEMORY_MB', '64'],
  ['DEPLOY_TIMEOUT_SECONDS', '901'],
  ['DEPLOY_TIMEOUT_SECONDS', '3'],
  ['DEPLOY_TIMEOUT_SECONDS', '4.5'],
])('✗ with %s=%s', async (name, value) => {
  expect((await check({ ...DEPLOYED, [name]: value })).code).toBe(1);
});

test('the root of the bucket may be meant', async () => {
  expect((await check({ ...DEPLOYED, COS_PREFIX: '' })).findings).toMatchObject([{ status: 'ok' }]);
});

test('of a file without DEPLOY_*, it says what a deployment would need where it has the name of a stage', async () => {
  const { code, findings } = await check({});
  expect(findings).toMatchObject([{ status: 'warn', cause: expect.stringContaining('DEPLOY_ROLE') }]);
  expect(code).toBe(0);
  expect((await check({}, 'demo.env')).findings).toEqual([]);
});
