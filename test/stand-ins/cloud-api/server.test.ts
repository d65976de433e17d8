// The loopback cloud API, checked with the official SDK's own service clients.
import { Client as CamClient } from 'tencentcloud-sdk-nodejs/tencentcloud/services/cam/v20190116/cam_client.js';
import { Client as ClsClient } from 'tencentcloud-sdk-nodejs/tencentcloud/services/cls/v20201016/cls_client.js';
import { Client as ScfClient } from 'tencentcloud-sdk-nodejs/tencentcloud/services/scf/v20180416/scf_client.js';
import { Client as TdmqClient } from 'tencentcloud-sdk-nodejs/tencentcloud/services/tdmq/v20200217/tdmq_client.js';
import { Client as VpcClient } from 'tencentcloud-sdk-nodejs/tencentcloud/services/vpc/v20170312/vpc_client.js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { apiProfile } from '../../../src/rules/role-key.ts';
import { type CloudApi, startCloudApi } from './server.ts';
import { seedCluster } from './state.ts';

let api: CloudApi;
beforeEach(async () => {
  api = await startCloudApi();
});
afterEach(() => api.close());

const config = (credential: object = {}) => ({
  credential: { secretId: api.account.secretId, secretKey: api.account.secretKey, ...credential },
  region: 'ap-guangzhou',
  profile: apiProfile(5, api.endpoint),
});
const scf = (credential: object = {}) => new ScfClient(config(credential));
const ZIP = Buffer.from('PK code').toString('base64');
const newFunction = (given: object = {}) => ({
  FunctionName: 'fn',
  Code: { ZipFile: ZIP },
  Handler: 'index.main_handler',
  Runtime: 'Nodejs18.15',
  ...given,
});

describe('A request is refused when', () => {
  test('it is signed with another key', async () => {
    await expect(scf({ secretKey: 'another' }).ListFunctions({})).rejects.toMatchObject({
      code: 'AuthFailure.SignatureFailure',
    });
    expect(api.calls).toEqual([]);
  });

  test('the key is not known', async () => {
    await expect(scf({ secretId: 'AKIDanother' }).ListFunctions({})).rejects.toMatchObject({
      code: 'AuthFailure.SecretIdNotFound',
    });
  });

  test('the keys are temporary and the token is missing or wrong', async () => {
    await api.close();
    api = await startCloudApi({ token: 'right' });
    await expect(scf().ListFunctions({})).rejects.toMatchObject({ code: 'AuthFailure.TokenFailure' });
    await expect(scf({ token: 'right' }).ListFunctions({})).resolves.toMatchObject({ TotalCount: 0 });
  });

  test('it was signed ten minutes ago', async () => {
    await expect(
      fetch(api.endpoint, {
        method: 'POST',
        body: '{}',
        headers: {
          'content-type': 'application/json',
          'x-tc-timestamp': String(Math.floor(Date.now() / 1000) - 600),
          authorization: `TC3-HMAC-SHA256 Credential=${api.account.secretId}/2026-01-01/scf/tc3_request, SignedHeaders=content-type;host, Signature=${'0'.repeat(64)}`,
        },
      }).then((answer) => answer.json()),
    ).resolves.toMatchObject({ Response: { Error: { Code: 'AuthFailure.SignatureExpire' } } });
  });

  test.each([
    [{ FunctionName: 'fn', Unknown: 1 }, 'UnknownParameter'],
    [{}, 'MissingParameter'],
    [{ FunctionName: 7 }, 'InvalidParameter'],
  ])('its parameters are %j', async (request, code) => {
    await expect(scf().GetFunction(request as never)).rejects.toMatchObject({ code });
  });

  test('it names an action that is not there', async () => {
    await expect(scf().ListLayers({})).rejects.toMatchObject({ code: 'InvalidAction' });
  });
});

test('A function becomes active after some looks, and is not changed before', async () => {
  api.state.pollsUntilActive = 1;
  await scf().CreateFunction(newFunction());
  const trigger = { FunctionName: 'fn', TriggerName: 't', Type: 'timer', TriggerDesc: '0 */5 * * * * *' };
  await expect(scf().CreateTrigger(trigger)).rejects.toMatchObject({
    code: 'FailedOperation.FunctionStatusError',
  });
  expect((await scf().GetFunction({ FunctionName: 'fn' })).Status).toBe('Creating');
  expect((await scf().GetFunction({ FunctionName: 'fn' })).Status).toBe('Active');
  await scf().CreateTrigger(trigger);
  expect((await scf().GetFunction({ FunctionName: 'fn' })).Triggers).toMatchObject([
    { TriggerName: 't', TriggerDesc: '{"cron":"0 */5 * * * * *"}', Enable: 1 },
  ]);
});

test('A function that is being made or changed is not deleted', async () => {
  await scf().CreateFunction(newFunction());
  const remove = () => scf().DeleteFunction({ FunctionName: 'fn' });
  await expect(remove()).rejects.toMatchObject({ code: 'FailedOperation.FunctionStatusError' });
  for (let i = 0; i < 2; i++) await scf().GetFunction({ FunctionName: 'fn' });
  await remove();
  expect(api.state.functions.size).toBe(0);
});

test('The log topic of a function is kept, changed, and taken away by an empty one', async () => {
  api.state.pollsUntilActive = 0;
  await scf().CreateFunction(newFunction({ ClsLogsetId: 'set', ClsTopicId: 'topic' }));
  const change = async (given: object) => {
    await scf().UpdateFunctionConfiguration({ FunctionName: 'fn', ...given });
    return (await scf().GetFunction({ FunctionName: 'fn' })).ClsTopicId;
  };
  expect(await change({ Timeout: 60 })).toBe('topic');
  expect(await change({ ClsLogsetId: 'set', ClsTopicId: 'another' })).toBe('another');
  expect(await change({ ClsLogsetId: '', ClsTopicId: '' })).toBe('');
});

test('The retry policy is reported as it was set', async () => {
  api.state.pollsUntilActive = 0;
  await scf().CreateFunction(newFunction());
  const AsyncTriggerConfig = { RetryConfig: [{ RetryNum: 1 }], MsgTTL: 600 };
  await scf().UpdateFunctionEventInvokeConfig({ FunctionName: 'fn', AsyncTriggerConfig });
  expect(await scf().GetFunctionEventInvokeConfig({ FunctionName: 'fn' })).toMatchObject({
    AsyncTriggerConfig,
  });
});

test('A run that began more than a quarter of an hour ago is reported only where its time is asked for', async () => {
  api.state.pollsUntilActive = 0;
  await scf().CreateFunction(newFunction());
  const { Result } = await scf().Invoke({ FunctionName: 'fn', InvocationType: 'Event' });
  const about = { FunctionName: 'fn', FunctionRequestId: Result?.FunctionRequestId ?? '' };
  expect(await scf().GetRequestStatus(about)).toMatchObject({ TotalCount: 1 });
  api.state.now = () => Date.now() + 16 * 60_000;
  expect(await scf().GetRequestStatus(about)).toMatchObject({ TotalCount: 0 });
  const window = { StartTime: '2020-01-01 00:00:00', EndTime: '2099-01-01 00:00:00' };
  expect(await scf().GetRequestStatus({ ...about, ...window })).toMatchObject({ TotalCount: 1 });
});

test('A policy is reported and changed by its id', async () => {
  const cam = new CamClient(config());
  const document = (action: string) =>
    JSON.stringify({ version: '2.0', statement: [{ effect: 'allow', action: [action], resource: ['*'] }] });
  const { PolicyId = 0 } = await cam.CreatePolicy({
    PolicyName: 'p',
    PolicyDocument: document('a:B'),
    Description: 'd',
  });
  await cam.UpdatePolicy({ PolicyId, PolicyDocument: document('a:C') });
  expect(await cam.GetPolicy({ PolicyId })).toMatchObject({
    PolicyName: 'p',
    PolicyDocument: document('a:C'),
  });
  expect(await cam.ListPolicies({ Keyword: 'p' })).toMatchObject({ List: [{ PolicyId, Description: 'd' }] });
  await expect(cam.GetPolicy({ PolicyId: 99 })).rejects.toMatchObject({
    code: 'ResourceNotFound.PolicyIdNotFound',
  });
});

test.each([
  [{ FunctionName: '1fn' }, 'InvalidParameterValue.FunctionName'],
  [{ Code: { ZipFile: Buffer.from('no zip').toString('base64') } }, 'InvalidParameterValue.ZipFile'],
  [{ MemorySize: 200 }, 'InvalidParameterValue.MemorySize'],
  [{ Timeout: 901 }, 'InvalidParameterValue.Timeout'],
  [{ Role: 'none' }, 'ResourceNotFound.Role'],
  [{ Environment: { Variables: [{ Key: 'A', Value: '' }] } }, 'InvalidParameterValue.EnvironmentVariable'],
  [
    { Environment: { Variables: [{ Key: 'SCF_A', Value: 'x' }] } },
    'InvalidParameterValue.EnvironmentSystemEnvKey',
  ],
  [
    { Environment: { Variables: [{ Key: 'A', Value: 'x'.repeat(4_100) }] } },
    'InvalidParameterValue.EnvironmentExceededLimit',
  ],
])('A function with %j is refused as %s', async (given, code) => {
  await expect(scf().CreateFunction(newFunction(given))).rejects.toMatchObject({ code });
});

test('Lists come in pages, no larger than the API has them', async () => {
  const cluster = seedCluster(api.state, {});
  for (let i = 0; i < 24; i++)
    cluster.environments.set(`n${i}`, { name: `n${i}`, ttlSeconds: 60, topics: new Map() });
  const tdmq = new TdmqClient(config());
  const page = await tdmq.DescribeEnvironments({ ClusterId: 'pulsar-abc', Offset: 20, Limit: 20 });
  expect(page.TotalCount).toBe(25);
  expect(page.EnvironmentSet).toHaveLength(5);
  await expect(tdmq.DescribeEnvironments({ ClusterId: 'pulsar-abc', Limit: 21 })).rejects.toMatchObject({
    code: 'InvalidParameterValue',
  });
});

test('What is in one region is not in another', async () => {
  seedCluster(api.state, { region: 'ap-shanghai' });
  const vpc = new VpcClient(config());
  expect(await vpc.DescribeSubnets({})).toMatchObject({ TotalCount: 0 });
  await expect(new TdmqClient(config()).DescribeRoles({ ClusterId: 'pulsar-abc' })).rejects.toMatchObject({
    code: 'ResourceNotFound.Cluster',
  });
});

describe('Log lines are searched', () => {
  const search = async (QueryString: string) => {
    const answer = await new ClsClient(config()).SearchLog({ TopicId: 't', From: 0, To: 100, QueryString });
    return answer.Results?.map((row) => row.Time);
  };
  beforeEach(() => {
    api.state.logTopics.set('t', [
      { timeMs: 1, fields: { SCF_FunctionName: 'a', SCF_Message: 'run finished' } },
      { timeMs: 2, fields: { SCF_FunctionName: 'a', SCF_Message: 'run failed', SCF_StatusCode: '430' } },
      { timeMs: 3, fields: { SCF_FunctionName: 'b', SCF_Message: 'run failed' } },
    ]);
  });

  test.each([
    ['*', [3, 2, 1]],
    ['SCF_FunctionName:"a"', [2, 1]],
    ['SCF_FunctionName:"a" AND ("run finished" OR "run failed")', [2, 1]],
    ['SCF_FunctionName:"a" AND NOT "run failed"', [1]],
    ['SCF_StatusCode:>=400', [2]],
  ])('by %s', async (query, times) => {
    expect(await search(query)).toEqual(times);
  });

  test('and what is no query is a syntax error', async () => {
    await expect(search('SCF_FunctionName:"a" AND (')).rejects.toMatchObject({
      code: 'FailedOperation.SyntaxError',
    });
  });
});

describe('A fault on order', () => {
  test('strikes the calls it names, as often as it says, after as many as it says', async () => {
    api.fail({ action: 'scf:ListFunctions', code: 'RequestLimitExceeded', after: 1, times: 1 });
    await scf().ListFunctions({});
    await expect(scf().ListFunctions({})).rejects.toMatchObject({ code: 'RequestLimitExceeded' });
    await scf().ListFunctions({});
  });

  test('can count the calls of each action by themselves', async () => {
    api.fail({ action: '*', each: true, code: 'RequestLimitExceeded', times: 1 });
    for (const call of [() => scf().ListFunctions({}), () => scf().GetFunction({ FunctionName: 'fn' })]) {
      await expect(call()).rejects.toMatchObject({ code: 'RequestLimitExceeded' });
    }
    await scf().ListFunctions({});
  });

  test('can answer as a gateway does, with a status and a page', async () => {
    api.fail({ action: 'scf:CreateFunction', httpStatus: 502 });
    await expect(scf().CreateFunction(newFunction())).rejects.toMatchObject({ httpCode: 502 });
    expect(api.state.functions.has('fn')).toBe(false);
  });

  test.each([
    ['before', false],
    ['after', true],
  ] as const)('can leave a call without an answer, %s its work', async (hang, isDone) => {
    api.fail({ action: 'scf:CreateFunction', hang });
    const gaveUp = new AbortController();
    const call = scf().request('CreateFunction', newFunction(), { signal: gaveUp.signal });
    await expect.poll(() => api.calls.length).toBe(1);
    gaveUp.abort();
    await expect(call).rejects.toThrow();
    expect(api.state.functions.has('fn')).toBe(isDone);
  });

  test('can lose the answer after the work is done', async () => {
    api.fail({ action: 'scf:CreateFunction', cut: 'after' });
    await expect(scf().CreateFunction(newFunction())).rejects.toThrow();
    expect(api.state.functions.has('fn')).toBe(true);
  });

  test('can cut the connection before anything is done', async () => {
    api.fail({ action: 'scf:CreateFunction', cut: 'before' });
    await expect(scf().CreateFunction(newFunction())).rejects.toThrow();
    expect(api.state.functions.has('fn')).toBe(false);
  });
});
