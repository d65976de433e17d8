// rule export --format terraform: the file against the provider's schema, and against the function that it describes.
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { PROVIDER_VERSION } from '../../../src/rules/terraform.ts';
import { deployByHand, ROLE_KEY, type RuleCloud, startRuleCloud } from '../rule-cloud.ts';

interface Attribute {
  readonly type: 'string' | 'int' | 'bool' | 'map' | 'list' | 'set';
  readonly required?: boolean;
  readonly optional?: boolean;
  readonly maxItems?: number;
  readonly conflictsWith?: readonly string[];
  readonly block?: Schema;
}
type Schema = Readonly<Record<string, Attribute>>;

const schema = JSON.parse(
  readFileSync(
    new URL(`../../fixtures/terraform/tencentcloud-${PROVIDER_VERSION}.json`, import.meta.url),
    'utf8',
  ),
) as { version: string; resources: Readonly<Record<string, Schema>> };

type Body = Readonly<Record<string, unknown>>;

interface TerraformFile {
  readonly '//': readonly string[];
  readonly terraform: { required_providers: { tencentcloud: { version: string } } };
  readonly variable: Readonly<Record<string, { type: string; sensitive?: boolean; default?: string }>>;
  readonly resource: Readonly<Record<string, Readonly<Record<string, Body>>>>;
  readonly import: readonly { to: string; id: string }[];
}

let cloud: RuleCloud;
beforeEach(async () => {
  cloud = await startRuleCloud();
  cloud.api.state.pollsUntilActive = 0;
});
afterEach(() => cloud.close());

const path = () => join(cloud.folder, 'orders.tf.json');

async function exportRule(...more: string[]): Promise<TerraformFile> {
  const args = ['export', 'orders-backup', '--format', 'terraform', '--out', path(), ...more];
  expect(await cloud.rule(...args)).toMatchObject({ code: 0 });
  return JSON.parse(readFileSync(path(), 'utf8'));
}

const reference = (target: string) => `\${${target}}`;
const REFERENCE = /^\$\{([\w.-]+)\}$/;

/** What is wrong with a body, by the schema of its resource. */
function faultsOf(body: Body, attributes: Schema, file: TerraformFile, at: string): string[] {
  const faults = Object.entries(attributes)
    .filter(([name, one]) => one.required && body[name] === undefined)
    .map(([name]) => `${at}.${name} is required`);
  for (const [name, value] of Object.entries(body)) {
    const attribute = attributes[name];
    const where = `${at}.${name}`;
    if (attribute === undefined) faults.push(`${where} is unknown`);
    else if (!attribute.required && !attribute.optional) faults.push(`${where} is the provider's own`);
    else {
      for (const other of attribute.conflictsWith ?? [])
        if (body[other] !== undefined) faults.push(`${where} conflicts with ${other}`);
      faults.push(...faultsOfValue(value, attribute, file, where));
    }
  }
  return faults;
}

function faultsOfValue(value: unknown, one: Attribute, file: TerraformFile, where: string): string[] {
  switch (one.type) {
    case 'string':
      return typeof value === 'string' ? faultsOfText(value, file, where) : [`${where} is no string`];
    case 'int':
      return Number.isInteger(value) ? [] : [`${where} is no whole number`];
    case 'bool':
      return typeof value === 'boolean' ? [] : [`${where} is no bool`];
    case 'map':
      return Object.entries(value as Body).flatMap(([name, text]) =>
        typeof text === 'string' ? faultsOfText(text, file, `${where}.${name}`) : [`${where}.${name}`],
      );
    default: {
      if (!Array.isArray(value)) return [`${where} is no list of blocks`];
      const tooMany =
        one.maxItems !== undefined && value.length > one.maxItems ? [`${where} is too long`] : [];
      const { block = {} } = one;
      return [...tooMany, ...value.flatMap((body, i) => faultsOf(body, block, file, `${where}[${i}]`))];
    }
  }
}

/** A text is one reference to something that is there, or begins no template. */
function faultsOfText(text: string, file: TerraformFile, where: string): string[] {
  const [, target] = REFERENCE.exec(text) ?? [];
  if (target === undefined) {
    return /(?<![$%])[$%]\{/.test(text.replaceAll(/([$%])\1\{/g, '')) ? [`${where} is a template`] : [];
  }
  const [kind = '', name = '', attribute = ''] = target.split('.');
  const isThere =
    kind === 'var'
      ? file.variable[name] !== undefined
      : file.resource[kind]?.[name] !== undefined && schema.resources[kind]?.[attribute] !== undefined;
  return isThere ? [] : [`${where} refers to ${target}, which is not there`];
}

function expectValid(file: TerraformFile): void {
  const faults = Object.entries(file.resource).flatMap(([type, bodies]) => {
    const attributes = schema.resources[type];
    if (attributes === undefined) return [`${type} is no resource`];
    return Object.entries(bodies).flatMap(([name, body]) =>
      faultsOf(body, attributes, file, `${type}.${name}`),
    );
  });
  expect(faults).toEqual([]);
  const all = Object.entries(file.resource).flatMap(([type, bodies]) =>
    Object.keys(bodies).map((name) => `${type}.${name}`),
  );
  for (const name of all) expect(name).toMatch(/^[a-z_]+\.[A-Za-z_][\w-]*$/);
  // Each resource takes over what is deployed.
  expect(file.import.map(({ to }) => to).sort()).toEqual(all.sort());
  expect(file.terraform.required_providers.tencentcloud.version).toBe(`>= ${schema.version}`);
}

const TYPES = ['--subscription-type', 'failover', '--instances', '3', '--runtime', 'Nodejs20.19'];

test('The file of a rule with instances fits the schema of the provider, and describes the function', async () => {
  const fn = await cloud.createOrders(...TYPES, '--memory', '1024');
  const file = await exportRule();
  expectValid(file);
  expect(file.resource['tencentcloud_scf_function']?.['rule']).toMatchObject({
    ...{ name: 'orders-backup', handler: fn.handler, runtime: 'Nodejs20.19', func_type: 'Event' },
    ...{ mem_size: 1024, timeout: fn.timeout, role: fn.role, enable_public_net: fn.publicNet },
    ...{ vpc_id: fn.vpc?.VpcId, subnet_id: fn.vpc?.SubnetId },
    ...{ cls_logset_id: 'log-set', cls_topic_id: 'log-topic', tags: { 'tdmq-backup': 'orders-backup' } },
    environment: { ...fn.environment, PULSAR_TOKEN: reference('var.rule_pulsar_token') },
  });
  const timers = Object.values(file.resource['tencentcloud_scf_trigger'] ?? {});
  expect(timers).toEqual(
    fn.triggers.map((one) => ({
      function_name: reference('tencentcloud_scf_function.rule.name'),
      ...{ namespace: 'default', trigger_name: one.name, type: 'timer', trigger_desc: one.cron },
      ...{ qualifier: one.qualifier, enable: 'OPEN', custom_argument: one.argument },
    })),
  );
  expect(timers).toHaveLength(3);
  expect(file.resource['tencentcloud_scf_reserved_concurrency_config']?.['rule']).toMatchObject({
    reserved_concurrency_mem: fn.reservedMemory,
  });
  expect(file.resource['tencentcloud_scf_function_event_invoke_config']?.['rule']).toMatchObject({
    async_trigger_config: [
      { retry_config: [{ retry_num: fn.retry.retryNum }], msg_ttl: fn.retry.ttlSeconds },
    ],
  });
});

test('No secret is in the file: each is a sensitive variable without a default, and is named', async () => {
  const fn = await cloud.createOrders();
  fn.environment['OTHER-SECRET'] = 'a-secret-that-nobody-declared';
  const file = await exportRule();
  const text = readFileSync(path(), 'utf8');
  expect(text).not.toContain(ROLE_KEY);
  expect(text).not.toContain('a-secret-that-nobody-declared');
  for (const name of ['rule_pulsar_token', 'rule_other_secret']) {
    expect(file.variable[name]).toMatchObject({ type: 'string', sensitive: true });
    expect(file.variable[name]).not.toHaveProperty('default');
    expect(file['//'].join(' ')).toContain(`TF_VAR_${name}`);
  }
  expect(statSync(path()).mode & 0o777).toBe(0o600);
});

test('Names that differ only in their case become variables of their own', async () => {
  const environment = { ...deployByHand(cloud, 'orders-backup').environment, Foo: 'a', FOO: 'b' };
  deployByHand(cloud, 'orders-backup', { environment });
  const file = await exportRule();
  expect(Object.keys(file.variable)).toEqual(expect.arrayContaining(['rule_foo', 'rule_foo_2']));
  expect(file['//'].join()).toContain('TF_VAR_rule_foo, TF_VAR_rule_foo_2');
  expect(file.resource['tencentcloud_scf_function']?.['rule']).toMatchObject({
    environment: { Foo: reference('var.rule_foo'), FOO: reference('var.rule_foo_2') },
  });
});

test('What Terraform would read as a template stays the text that it is', async () => {
  const odd = { COS_PREFIX: `\${HOME}/%{if}/$\${x}/$HOME/"quoted"/` };
  const { environment } = deployByHand(cloud, 'orders-backup');
  deployByHand(cloud, 'orders-backup', { environment: { ...environment, ...odd } });
  const file = await exportRule();
  expectValid(file);
  const own = file.resource['tencentcloud_scf_function']?.['rule']?.['environment'] as Record<string, string>;
  expect(own['COS_PREFIX']).toBe(`$\${HOME}/%%{if}/$$\${x}/$HOME/"quoted"/`);
});

test('A paused rule without logs, network, reservation or timer is one too', async () => {
  deployByHand(cloud, 'orders-backup', { cls: undefined, vpc: undefined, role: undefined });
  await cloud.rule('pause', 'orders-backup');
  const paused = await exportRule();
  expectValid(paused);
  expect(Object.values(paused.resource['tencentcloud_scf_trigger'] ?? {})).toMatchObject([
    { enable: 'CLOSE' },
  ]);
  expect(paused.resource).not.toHaveProperty('tencentcloud_scf_reserved_concurrency_config');
  deployByHand(cloud, 'orders-backup', { triggers: [] });
  expectValid(await exportRule('--force'));
});

test('It says what Terraform does not set, and refuses another format', async () => {
  await cloud.createOrders();
  const notes = (await exportRule())['//'].join(' ');
  for (const what of ['index of the log topic', 'run role', 'subscription', 'bucket', 'same name'])
    expect(notes).toContain(what);
  const ran = await cloud.rule('export', 'orders-backup', '--format', 'pulumi');
  expect(ran.code).toBe(2);
  expect(ran.err).toContain('expected env or terraform');
});
