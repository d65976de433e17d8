// serverless.yml, deployed with Tencent's own toolkit over the loopback cloud API, beside what `rule create` makes. The
// framework's command line and its platform are not here: they are not to be had, or run at Tencent's.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type RuleCloud, stageValues, startRuleCloud } from '../cli/rule-cloud.ts';
import type { ScfFunction } from '../stand-ins/cloud-api/state.ts';
import { resolveInputs, withFurtherTimers } from '../stand-ins/framework.ts';
import { cachedFolder } from './cache.ts';
import { runCommand } from './run-command.ts';

const TOOLKIT = 'tencent-component-toolkit@2.27.6';
const program = fileURLToPath(new URL('toolkit-process.cjs', import.meta.url));
/** What changes a function, its timers or its tags. */
const CHANGE = /^(Create|Update|Put|Delete|Attach|Detach)/;

let toolkit: string;
let cloud: RuleCloud;

beforeAll(async () => {
  toolkit = await cachedFolder('toolkit', [TOOLKIT], async (draft) => {
    await writeFile(join(draft, 'package.json'), '{"private":true}');
    await runCommand('npm', ['install', '--prefix', draft, '--ignore-scripts', '--no-audit', TOOLKIT], {
      timeoutMs: 200_000,
    });
  });
});
beforeEach(async () => {
  await cloud?.close();
  cloud = await startRuleCloud();
  const { camRoles } = cloud.api.state;
  camRoles.set('run-role', {
    name: 'run-role',
    trust: 'scf.qcloud.com',
    description: '',
    policies: new Set(),
  });
});
afterAll(() => cloud?.close());

const inputsOf = (values = stageValues('orders-backup'), yaml?: string) => resolveInputs(values, yaml);

/** Deploys or removes orders-backup; the calls that change something, in order. */
async function scf(command: 'deploy' | 'remove', inputs = inputsOf()): Promise<string[]> {
  const { account, calls, endpoint } = cloud.api;
  const before = calls.length;
  const credentials = { SecretId: account.secretId, SecretKey: account.secretKey, Token: account.token };
  const task = { command, inputs, credentials, region: 'ap-guangzhou' };
  await runCommand(process.execPath, [program, toolkit, JSON.stringify(task)], {
    timeoutMs: 60_000,
    env: { ...process.env, HTTP_PROXY: endpoint, http_proxy: endpoint, NO_PROXY: '', no_proxy: '' },
  });
  return calls
    .slice(before)
    .map(({ action }) => action)
    .filter((action) => CHANGE.test(action));
}

const deployed = () => cloud.api.state.functions.get('orders-backup') as ScfFunction;

/** What a function is, without times, code and what only one of the two ways sets. */
const shapeOf = ({ zip, addTime, modTime, status, pollsLeft, description, ...shape }: ScfFunction) => shape;

test('it makes what `rule create` makes, but for the retries and the reservation', async () => {
  expect(await scf('deploy')).toEqual(['CreateFunction', 'CreateTag', 'AttachResourcesTag', 'CreateTrigger']);
  const byFramework = structuredClone(shapeOf(deployed()));
  await cloud.rule('delete', 'orders-backup', '--yes');
  expect(deployed()).toBeUndefined();
  const file = join(cloud.folder, '.env.orders');
  const lines = Object.entries(stageValues('orders-backup')).map(([name, value]) => `${name}=${value}`);
  await writeFile(file, lines.join('\n'));
  const created = await cloud.rule('create', '--file', file, '--tdmq-role', 'backup-reader', '--yes');
  expect(created, created.err).toMatchObject({ code: 0 });
  const byCommand = shapeOf(deployed());
  expect(byFramework).toMatchObject({
    reservedMemory: undefined,
    retry: { retryNum: 2, ttlSeconds: 21_600 },
  });
  expect(byCommand).toMatchObject({ reservedMemory: 512, retry: { retryNum: 2, ttlSeconds: 300 } });
  const { reservedMemory, retry } = byCommand;
  // The function has its name from SCF too.
  const environment = { ...byCommand.environment, RULE_NAME: 'orders-backup' };
  expect({ ...byFramework, reservedMemory, retry }).toEqual({ ...byCommand, environment });
});

test.each([
  ['one timer', undefined, 1],
  ['the timers of further instances too', withFurtherTimers(), 4],
])('a second deployment with %s leaves timers and tags as they are', async (_, yaml, timers) => {
  const inputs = inputsOf(stageValues('orders-backup'), yaml);
  await scf('deploy', inputs);
  const before = structuredClone(shapeOf(deployed()));
  expect(before.triggers).toHaveLength(timers);
  expect(await scf('deploy', inputs)).toEqual(['UpdateFunctionCode', 'UpdateFunctionConfiguration']);
  expect(shapeOf(deployed())).toEqual(before);
});

test('it resumes a paused rule, undoes an edit, and detaches other tags', async () => {
  await scf('deploy');
  const before = structuredClone(shapeOf(deployed()));
  expect(await cloud.rule('pause', 'orders-backup')).toMatchObject({ code: 0 });
  expect(await cloud.rule('edit', 'orders-backup', '--memory', '1024', '--yes')).toMatchObject({ code: 0 });
  deployed().tags.push({ Key: 'team', Value: 'orders' });
  await scf('deploy');
  expect(shapeOf(deployed())).toEqual(before);
});

test('`rule edit --instances 1` sets what it cannot, once and for all deployments', async () => {
  await scf('deploy');
  const edited = await cloud.rule('edit', 'orders-backup', '--instances', '1', '--yes');
  expect(edited, edited.err).toMatchObject({ code: 0 });
  await scf('deploy');
  expect(deployed()).toMatchObject({ reservedMemory: 512, retry: { retryNum: 2, ttlSeconds: 300 } });
});

test('what .env.<stage> leaves out drops out, and no setting is the text "undefined"', async () => {
  const {
    COS_PREFIX: _,
    DEPLOY_ROLE: __,
    DEPLOY_VPC_ID: ___,
    DEPLOY_SUBNET_ID: ____,
    ...values
  } = stageValues('orders-backup');
  await scf('deploy', inputsOf(values));
  expect(deployed()).toMatchObject({ role: undefined, vpc: {}, memory: 512, timeout: 285 });
  expect(deployed().environment).not.toHaveProperty('COS_PREFIX');
  expect(Object.values(deployed().environment)).not.toContain('undefined');
});

test('without a stage all drops out, and a function of no use stays behind', async () => {
  await expect(scf('deploy', inputsOf({}))).rejects.toThrow('InvalidParameterValue.Cron');
  const [[name, junk] = []] = cloud.api.state.functions;
  expect(name).toBe('tdmq-backup-dev-tdmq-backup');
  expect(junk).toMatchObject({ environment: {}, role: undefined, vpc: {}, triggers: [] });
});

test('it removes the function', async () => {
  await scf('deploy');
  expect(await scf('remove')).toEqual(['DeleteFunction']);
  expect(cloud.api.state.functions.size).toBe(0);
});
