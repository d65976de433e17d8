// rule export: the file that it writes, and the rule that is made from it again.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { VARIABLES } from '../../../src/settings.ts';
import type { ScfFunction } from '../../stand-ins/cloud-api/state.ts';
import { readRootFile, resolveInputs } from '../../stand-ins/framework.ts';
import { deployByHand, type RuleCloud, startRuleCloud, subscribe, tracesIn } from '../rule-cloud.ts';

let cloud: RuleCloud;
beforeEach(async () => {
  cloud = await startRuleCloud();
  cloud.api.state.pollsUntilActive = 0;
});
afterEach(() => cloud.close());

const exported = () => join(cloud.folder, '.env.orders');

const SETTINGS = ['--set', 'FILE_COMPRESSION=zstd', '--interval', '10', '--start', 'latest'];

test.each([
  ['one instance', [...SETTINGS, '--memory', '1024']],
  [
    'instances and a runtime',
    ['--subscription-type', 'shared', '--instances', '4', '--runtime', 'Nodejs20.19'],
  ],
  ['the root of the bucket, and a time-out of its own', ['--prefix', '', '--timeout', '200']],
])('export writes what create --file makes the same rule from, but for its times: %s', async (_, flags) => {
  await cloud.createOrders(...flags);
  const before = tracesIn(cloud);
  const ran = await cloud.rule('export', 'orders-backup', '--out', exported());
  expect(ran.out).toContain('holds the role key');
  expect(statSync(exported()).mode & 0o777).toBe(0o600);
  cloud.api.state.functions.clear();
  expect(await cloud.rule('create', '--file', exported(), '--yes')).toMatchObject({ code: 0 });
  const after = tracesIn(cloud) as typeof before & { functions: ScfFunction[] };
  // A file for the Serverless Framework sets every variable; what is at its default is at its default before, too.
  for (const fn of after.functions) {
    const { environment } = cloud.api.state.functions.get('orders-backup') as ScfFunction;
    for (const [name, { fallback }] of Object.entries(VARIABLES as Record<string, { fallback?: string }>)) {
      if (environment[name] === fallback) delete fn.environment[name];
    }
    delete fn.environment['RULE_NAME'];
  }
  expect(after).toEqual(before);
});

test('rule.yml with instances and a runtime makes the rule that the flags make', async () => {
  await cloud.createOrders('--subscription-type', 'failover', '--instances', '3', '--runtime', 'Nodejs20.19');
  const byFlags = tracesIn(cloud);
  cloud.api.state.functions.clear();
  const file = join(cloud.folder, 'rule.yml');
  const fields = {
    ...{ name: 'orders-backup', cluster: 'pulsar-abc', namespace: 'default', topic: 'orders' },
    ...{ subscription: 'backup', subscriptionType: 'failover', tdmqRole: 'backup-reader' },
    ...{ bucket: 'archive-1250000000', prefix: 'tdmq/orders/', instances: 3, runtime: 'Nodejs20.19' },
    ...{ clsLogset: 'log-set', clsTopic: 'log-topic' },
  };
  writeFileSync(
    file,
    Object.entries(fields)
      .map(([name, value]) => `${name}: ${value}\n`)
      .join(''),
  );
  expect(await cloud.rule('create', '--file', file, '--yes')).toMatchObject({ code: 0 });
  expect(tracesIn(cloud)).toEqual(byFlags);
});

test('A rule that is made from an export goes on from where its subscription is', async () => {
  await cloud.createOrders();
  await cloud.rule('export', 'orders-backup', '--out', exported());
  await cloud.rule('delete', 'orders-backup', '--yes');
  subscribe(cloud, { backlog: 12 });
  expect(await cloud.rule('create', '--file', exported(), '--yes')).toMatchObject({ code: 0 });
  expect(tracesIn(cloud)).toMatchObject({ subscriptions: [{ backlog: 12, resetTo: undefined }] });
});

test('Values that the file must quote come back as they are', async () => {
  const prefixes = ["it's/", "it's \\new/", 'say "so"/', 'a b#c/', `both'"/`, '$HOME/'];
  for (const prefix of prefixes) {
    const environment = { ...deployByHand(cloud, 'orders-backup').environment, COS_PREFIX: prefix };
    deployByHand(cloud, 'orders-backup', { environment });
    await cloud.rule('export', 'orders-backup', '--out', exported(), '--force');
    expect(parseEnv(readFileSync(exported(), 'utf8'))).toMatchObject(environment);
  }
});

test('A value with all kinds of quotes is refused, and no file is written', async () => {
  const environment = { ...deployByHand(cloud, 'orders-backup').environment, COS_PREFIX: `'"\`/` };
  deployByHand(cloud, 'orders-backup', { environment });
  const ran = await cloud.rule('export', 'orders-backup', '--out', exported());
  expect(ran).toMatchObject({ code: 1 });
  expect(ran.err).toContain('COS_PREFIX: it has all kinds of quotes');
  expect(ran.err).toContain('--format terraform');
  expect(readdirSync(cloud.folder)).not.toContain('.env.orders');
});

test('create --file reads an .env file as --env-file does: byte order mark, CRLF, and no line that it would lose', async () => {
  await cloud.createOrders();
  await cloud.rule('export', 'orders-backup', '--out', exported());
  const text = readFileSync(exported(), 'utf8');
  cloud.api.state.functions.clear();
  const create = async (lines: string) => {
    writeFileSync(exported(), lines);
    return cloud.rule('create', '--file', exported(), '--yes');
  };
  expect((await create(`${text}COS_PREFIX=other/\n`)).err).toContain('sets COS_PREFIX twice');
  expect((await create(`${text}FILE_COMPRESION=gzip\n`)).err).toContain('did you mean FILE_COMPRESSION?');
  expect((await create(`${text}no setting\n`)).err).toContain('has no setting in line');
  expect(cloud.api.state.functions.size).toBe(0);
  expect(await create(`\ufeffTZ=Asia/Shanghai\n${text}`.replaceAll('\n', '\r\n'))).toMatchObject({ code: 0 });
  expect(cloud.api.state.functions.get('orders-backup')?.environment['COS_PREFIX']).toBe('tdmq/orders/');
});

test('export sets every variable that serverless.yml reads, or comments it out', async () => {
  await cloud.createOrders();
  const path = join(cloud.folder, '.env.orders');
  await cloud.rule('export', 'orders-backup', '--out', path);
  const written = readFileSync(path, 'utf8');
  for (const [, name] of readRootFile('serverless.yml').matchAll(/\$\{env:(\w+)\}/g))
    expect(written).toMatch(new RegExp(`^#?${name}=`, 'm'));
});

test('deployed with what export writes, a rule stays as it is', async () => {
  const { environment, timeout, role, vpc, cls } = await cloud.createOrders('--memory', '1024');
  const path = join(cloud.folder, '.env.orders');
  await cloud.rule('export', 'orders-backup', '--out', path);
  const written = readFileSync(path, 'utf8');
  expect(written).toContain(`--inputs memorySize=1024 timeout=${timeout}\n`);
  const inputs = resolveInputs(parseEnv(written) as Record<string, string>);
  expect(inputs.environment.variables).toMatchObject(environment);
  expect(inputs).toMatchObject({
    role,
    vpcConfig: { vpcId: vpc?.VpcId, subnetId: vpc?.SubnetId },
    cls,
  });
});

test('export does not write over a file unless asked to, and then for its owner alone', async () => {
  await cloud.createOrders();
  writeFileSync(exported(), 'mine', { mode: 0o644 });
  expect((await cloud.rule('export', 'orders-backup', '--out', exported())).err).toContain('--force');
  expect(readFileSync(exported(), 'utf8')).toBe('mine');
  expect((await cloud.rule('export', 'orders-backup', '--out', exported(), '--force')).code).toBe(0);
  expect(readFileSync(exported(), 'utf8')).toContain('RULE_NAME=orders-backup');
  expect(statSync(exported()).mode & 0o777).toBe(0o600);
  expect(readdirSync(cloud.folder).filter((name) => name.endsWith('.new'))).toEqual([]);
});

test('export to a place that cannot be written says so', async () => {
  await cloud.createOrders();
  const ran = await cloud.rule('export', 'orders-backup', '--out', join(cloud.folder, 'none', 'x'));
  expect(ran.code).toBe(1);
  expect(ran.err).toContain('cannot be written (ENOENT)');
});
