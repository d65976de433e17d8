// Where the rule commands take their API keys from, and that none is printed: each output is searched for them.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CREATE, type RuleCloud, startRuleCloud } from '../rule-cloud.ts';

let cloud: RuleCloud;
beforeEach(async () => {
  cloud = await startRuleCloud();
});
afterEach(() => cloud.close());

const NONE = {
  ...{ TENCENTCLOUD_SECRET_ID: '', TENCENTCLOUD_SECRET_KEY: '', TENCENTCLOUD_TOKEN: '' },
  TENCENTCLOUD_METADATA_URL: 'http://127.0.0.1:1/',
};

function writeProfile(name: string, keys: object, region?: string): void {
  const folder = join(cloud.folder, '.tccli');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}.credential`), JSON.stringify(keys));
  if (region === undefined) return;
  writeFileSync(join(folder, `${name}.configure`), JSON.stringify({ _sys_param: { region } }));
}

test('Keys in the environment may have the spelling of the function', async () => {
  const { secretId, secretKey, token = '' } = cloud.api.account;
  const env = {
    ...NONE,
    TENCENTCLOUD_SECRETID: secretId,
    TENCENTCLOUD_SECRETKEY: secretKey,
    TENCENTCLOUD_SESSIONTOKEN: token,
  };
  expect((await cloud.ruleWith({ env }, 'list')).code).toBe(0);
});

test('A rule is made with the keys and the region of the Tencent CLI’s profile', async () => {
  const { secretId, secretKey, token } = cloud.api.account;
  writeProfile('default', { secretId, secretKey, token }, 'ap-guangzhou');
  const env = { ...NONE, TENCENTCLOUD_REGION: '' };
  expect(await cloud.ruleWith({ env }, ...CREATE)).toMatchObject({ code: 0 });
  writeProfile('work', { secretId: 'another', secretKey: 'another-secret-key' }, 'ap-beijing');
  const ran = await cloud.ruleWith({ env }, 'list', '--profile', 'work');
  expect(ran.err).toContain('AuthFailure.SecretIdNotFound');
  expect(ran.err).not.toContain('another-secret-key');
});

test('A rule is made with the keys of the role of a CVM', async () => {
  const metadata = `${cloud.api.endpoint}/latest/meta-data/cam/security-credentials/`;
  const env = { ...NONE, TENCENTCLOUD_METADATA_URL: metadata };
  expect(await cloud.ruleWith({ env }, ...CREATE)).toMatchObject({ code: 0 });
});

test('Where there are no keys, all three places are named, and nothing is asked of the cloud', async () => {
  const ran = await cloud.ruleWith({ env: NONE }, 'list');
  expect(ran.code).toBe(1);
  expect(ran.err).toContain('no API keys found');
  for (const place of [
    'TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY',
    'tccli configure',
    'a CVM that has a role',
  ]) {
    expect(ran.err).toContain(place);
  }
  expect(cloud.api.calls).toEqual([]);
});

test('Keys that are wrong or expired are refused, with what to check', async () => {
  for (const [env, code] of [
    [{ TENCENTCLOUD_SECRET_KEY: 'a-wrong-secret-key' }, 'AuthFailure.SignatureFailure'],
    [{ TENCENTCLOUD_TOKEN: 'an-expired-token' }, 'AuthFailure.TokenFailure'],
  ] as const) {
    const ran = await cloud.ruleWith({ env: { ...env } }, 'list');
    expect(ran.code).toBe(1);
    expect(ran.err).toContain(code);
    expect(ran.err).toContain('Check the API keys: TENCENTCLOUD_SECRET_ID');
  }
});

test('Keys are no flags', async () => {
  for (const flag of ['--secret-id', '--secret-key', '--token']) {
    const ran = await cloud.rule('list', flag, 'very-secret-key');
    expect(ran.code).toBe(2);
    expect(ran.err).not.toContain('very-secret-key');
  }
});
