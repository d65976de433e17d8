import { inspect } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { BackupError } from '../../src/errors.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { Secret } from '../../src/lib/secret.ts';
import { readRoleKey } from '../../src/rules/role-key.ts';
import { type CloudApi, startCloudApi } from '../stand-ins/cloud-api/server.ts';
import { type Cluster, seedCluster } from '../stand-ins/cloud-api/state.ts';

const KEY = 'eyJhbGciOiJIUzI1NiJ9.the-key-of-the-role';

let api: CloudApi;
let cluster: Cluster;
beforeEach(async () => {
  api = await startCloudApi({ token: 'session-token' });
  cluster = seedCluster(api.state, { token: KEY });
});
afterEach(() => api.close());

const impatient = { now: systemClock.now, sleep: async () => {} };

function request(given: object = {}) {
  return {
    clusterId: 'pulsar-abc',
    roleName: 'backup-reader',
    region: 'ap-guangzhou',
    credentials: {
      secretId: api.account.secretId,
      secretKey: new Secret(api.account.secretKey),
      sessionToken: new Secret('session-token'),
    },
    endpoint: api.endpoint,
    clock: impatient,
    ...given,
  };
}

async function failureOf(promise: Promise<unknown>): Promise<BackupError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toMatchObject({ name: 'BackupError', code: 'source' });
  expect(inspect(error, { depth: 9 })).not.toContain(api.account.secretKey);
  return error as BackupError;
}

test('The key of a role is read with temporary credentials, and does not print', async () => {
  const key = await readRoleKey(request());
  expect(key.reveal()).toBe(KEY);
  expect(inspect(key)).toBe('[secret]');
});

test('A role is found by its whole name, on whatever page it stands', async () => {
  const wanted = cluster.roles.get('backup-reader');
  cluster.roles.clear();
  for (let i = 0; i < 45; i++) {
    cluster.roles.set(`x${i}`, { name: `backup-reader-${i}`, token: `other-${i}`, grants: new Map() });
  }
  if (wanted) cluster.roles.set('backup-reader', wanted);
  expect((await readRoleKey(request())).reveal()).toBe(KEY);
  expect(api.calls.map((call) => call.request['Offset'])).toEqual([0, 20, 40]);
});

test('A missing role is reported with its cluster, and is not tried again', async () => {
  const error = await failureOf(readRoleKey(request({ roleName: 'backup' })));
  expect(error.message).toBe('There is no TDMQ role backup in cluster pulsar-abc');
  expect(error.retryable).toBe(false);
  expect(api.calls).toHaveLength(1);
});

test('A missing permission names the permission to grant', async () => {
  api.fail({ action: 'tdmq:DescribeRoles', code: 'UnauthorizedOperation' });
  const error = await failureOf(readRoleKey(request()));
  expect(error.hint).toContain('tdmq:DescribeRoles');
  expect(api.calls).toHaveLength(1);
});

test('A cluster of another region is reported as missing in this one', async () => {
  const error = await failureOf(readRoleKey(request({ region: 'ap-shanghai' })));
  expect(error.message).toContain('no cluster pulsar-abc in this region');
});

test('Wrong credentials are refused by their signature', async () => {
  const credentials = { ...request().credentials, secretKey: new Secret('another key') };
  const error = await failureOf(readRoleKey(request({ credentials })));
  expect(error.details).toMatchObject({ apiCode: 'AuthFailure.SignatureFailure' });
});

test('Throttled and lost requests are repeated', async () => {
  api.fail({ action: 'tdmq:DescribeRoles', code: 'RequestLimitExceeded' });
  api.fail({ action: 'tdmq:DescribeRoles', cut: 'before' });
  expect((await readRoleKey(request())).reveal()).toBe(KEY);
  expect(api.calls).toHaveLength(3);
});

test('From a VPC without a way out the internal address of the API is used, and remembered', async () => {
  api.fail({ action: 'tdmq:DescribeRoles', cut: 'before' });
  const hosts = async () => {
    api.calls.splice(0);
    await readRoleKey(request());
    return api.calls.map((call) => call.host.replace(/:\d+$/, ''));
  };
  const [first, second] = await hosts();
  expect(new Set([first, second])).toEqual(
    new Set(['tdmq.tencentcloudapi.com', 'tdmq.internal.tencentcloudapi.com']),
  );
  expect(await hosts()).toEqual([second]);
});

test('An API that does not answer is given up when the caller says so', async () => {
  api.fail({ action: 'tdmq:DescribeRoles', hang: 'before', times: 9 });
  const stop = new AbortController();
  api.onCall = () => stop.abort();
  const error = await failureOf(readRoleKey(request({ signal: stop.signal })));
  expect(error.hint).toContain('public access');
  expect(error.retryable).toBe(true);
});

test('An address that nobody answers at fails as retryable', async () => {
  await api.close();
  const error = await failureOf(readRoleKey(request()));
  expect(error.retryable).toBe(true);
});
