import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { findCredentials, findRegion } from '../../src/rules/credentials.ts';
import { startCloudApi } from '../stand-ins/cloud-api/server.ts';

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'home-'));
  mkdirSync(join(home, '.tccli'));
});
afterEach(() => rmSync(home, { recursive: true }));

const nowhere = 'http://127.0.0.1:1/';
const profile = (name: string, kind: string, content: object | string) =>
  writeFileSync(
    join(home, '.tccli', `${name}.${kind}`),
    typeof content === 'string' ? content : JSON.stringify(content),
  );
const find = (env: Record<string, string>, name?: string) =>
  findCredentials({ env: { HOME: home, TENCENTCLOUD_METADATA_URL: nowhere, ...env }, profile: name });

test.each([
  ['TENCENTCLOUD_SECRET_ID', 'TENCENTCLOUD_SECRET_KEY', 'TENCENTCLOUD_TOKEN'],
  ['TENCENTCLOUD_SECRETID', 'TENCENTCLOUD_SECRETKEY', 'TENCENTCLOUD_SESSIONTOKEN'],
])('Keys come from %s, before any profile', async (id, key, token) => {
  profile('default', 'credential', { secretId: 'of-profile', secretKey: 'x' });
  const found = await find({ [id]: 'the-id', [key]: 'the-key', [token]: 'the-token' });
  expect(found.origin).toBe('the environment');
  expect(found.credentials.secretId).toBe('the-id');
  expect(found.credentials.secretKey.reveal()).toBe('the-key');
  expect(found.credentials.sessionToken?.reveal()).toBe('the-token');
  expect(inspect(found, { depth: 9 })).not.toContain('the-key');
});

test('Without keys in the environment the default profile of the Tencent CLI is taken', async () => {
  profile('default', 'credential', { secretId: 'of-default', secretKey: 'x' });
  expect(await find({})).toMatchObject({
    origin: 'profile default',
    credentials: { secretId: 'of-default' },
  });
});

test('A profile that is named goes before the environment, and is not replaced by another', async () => {
  profile('work', 'credential', { secretId: 'of-work', secretKey: 'x', token: 't' });
  const keys = { TENCENTCLOUD_SECRET_ID: 'of-env', TENCENTCLOUD_SECRET_KEY: 'x' };
  expect((await find(keys, 'work')).credentials.secretId).toBe('of-work');
  await expect(find(keys, 'none')).rejects.toThrow('no API keys found');
});

test('A broken profile file is reported without a word of what is in it', async () => {
  profile('default', 'credential', '{"secretId": "a", "secretKey": "very-secret"');
  const error = await find({}).catch((thrown: unknown) => thrown);
  expect(String(error)).toContain('is not valid JSON');
  expect(inspect(error, { depth: 9 })).not.toContain('very-secret');
});

test('On a CVM the keys of its role are taken', async () => {
  const api = await startCloudApi({ token: 'of-the-role' });
  try {
    const env = { TENCENTCLOUD_METADATA_URL: `${api.endpoint}/latest/meta-data/cam/security-credentials/` };
    // A machine that is busy may not answer in the time that a CVM has.
    const found = await vi.waitFor(() => find(env), { timeout: 20_000 });
    expect(found.origin).toBe('CVM role cvm-role');
    expect(found.credentials.sessionToken?.reveal()).toBe('of-the-role');
  } finally {
    await api.close();
  }
});

test('Where there are none, every place to put them is named', async () => {
  await expect(find({})).rejects.toMatchObject({
    code: 'config',
    hint: expect.stringMatching(/TENCENTCLOUD_SECRET_ID.*tccli configure.*CVM/),
  });
});

test('The region comes from the flag, the environment, then the profile', async () => {
  const region = (env: Record<string, string>, flag?: string) =>
    findRegion({ env: { HOME: home, ...env }, region: flag });
  profile('default', 'configure', { _sys_param: { region: 'ap-chengdu' } });
  expect(await region({ TENCENTCLOUD_REGION: 'ap-shanghai' }, 'ap-beijing')).toBe('ap-beijing');
  expect(await region({ TENCENTCLOUD_REGION: 'ap-shanghai' })).toBe('ap-shanghai');
  expect(await region({})).toBe('ap-chengdu');
  await expect(region({}, 'eu-frankfurt')).rejects.toMatchObject({
    hint: expect.stringContaining('na-siliconvalley'),
  });
});
