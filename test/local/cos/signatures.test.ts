// Who may call the loopback COS: the q-sign signature, its window, the token, the bucket's name, the body's digest.
import { createHash, createHmac } from 'node:crypto';
import { expect, test } from 'vitest';
import { sign, verifySignature } from '../../../src/local/cos/signature.ts';
import { authorize, BUCKET, type CallSettings, CREDENTIALS, REGION, startTestCos } from './test-client.ts';

// The PUT Object example of COS's documentation of request signatures.
const EXAMPLE = {
  secretKey: 'BQYIM75p8x0iWVFSIgqEKwFprpRSVHlz',
  keyTime: '1557989151;1557996351',
  host: 'examplebucket-1250000000.cos.ap-beijing.myqcloud.com',
};

test("the sign key of the documentation's example comes out", () => {
  const signKey = createHmac('sha1', EXAMPLE.secretKey).update(EXAMPLE.keyTime).digest('hex');
  expect(signKey).toBe('eb2519b498b02ac213cb1f3d1a3d27a3b3c9bc5f');
});

test("the signature of the documentation's example comes out", () => {
  const signature = sign({
    secretKey: EXAMPLE.secretKey,
    signTime: EXAMPLE.keyTime,
    keyTime: EXAMPLE.keyTime,
    method: 'PUT',
    path: '/exampleobject(腾讯云)',
    query: '',
    headers: [
      'content-length=13',
      'content-md5=mQ%2FfVh815F3k6TAUm8m0eg%3D%3D',
      'content-type=text%2Fplain',
      'date=Thu%2C%2016%20May%202019%2006%3A45%3A51%20GMT',
      `host=${EXAMPLE.host}`,
      'x-cos-acl=private',
      'x-cos-grant-read=uin%3D%22100000000011%22',
    ].join('&'),
  });
  expect(signature).toBe('3b8851a11a569213c17ba8fa7dcf2abec6935172');
});

test('the example is taken as a request, and not with another byte in any header it signs', () => {
  const headers = {
    ...{ host: EXAMPLE.host, date: 'Thu, 16 May 2019 06:45:51 GMT', 'content-type': 'text/plain' },
    ...{ 'content-length': '13', 'content-md5': 'mQ/fVh815F3k6TAUm8m0eg==', 'x-cos-acl': 'private' },
    'x-cos-grant-read': 'uin="100000000011"',
    authorization: [
      'q-sign-algorithm=sha1&q-ak=AKIDexample',
      `q-sign-time=${EXAMPLE.keyTime}&q-key-time=${EXAMPLE.keyTime}`,
      'q-header-list=content-length;content-md5;content-type;date;host;x-cos-acl;x-cos-grant-read',
      'q-url-param-list=&q-signature=3b8851a11a569213c17ba8fa7dcf2abec6935172',
    ].join('&'),
  };
  const verify = (changed: Record<string, string>) =>
    verifySignature(
      {
        ...{ kind: 'put', method: 'PUT', bucket: 'examplebucket-1250000000', region: 'ap-beijing' },
        ...{ key: 'exampleobject(腾讯云)', query: new Map(), headers: { ...headers, ...changed } },
      },
      {
        credentials: { secretId: 'AKIDexample', secretKey: EXAMPLE.secretKey },
        isTokenExpired: false,
        nowMs: 1557990000_000,
      },
    );
  expect(() => verify({})).not.toThrow();
  for (const name of Object.keys(headers).filter((header) => header !== 'authorization')) {
    expect(() => verify({ [name]: 'x' }), name).toThrow(/signature/i);
  }
});

const hour = 3600;
const now = () => Math.floor(Date.now() / 1000);

test.each<[string, string, () => CallSettings]>([
  ['no signature', 'AccessDenied', () => ({ authorization: null })],
  [
    'half a signature',
    'SignatureDoesNotMatch',
    () => ({ authorization: 'q-sign-algorithm=sha1&q-ak=AKIDtest' }),
  ],
  ['an unknown secret id', 'InvalidAccessKeyId', () => ({ secretId: 'AKIDother' })],
  ['a wrong secret key', 'SignatureDoesNotMatch', () => ({ secretKey: 'other' })],
  ['a signature without the host', 'SignatureDoesNotMatch', () => ({ signed: [] })],
  ['a window that is over', 'AccessDenied', () => ({ window: [now() - 2 * hour, now() - hour] })],
  ['a window that is to come', 'RequestTimeTooSkewed', () => ({ window: [now() + hour, now() + 2 * hour] })],
  ['a token where none belongs', 'InvalidAccessKeyId', () => ({ headers: { 'x-cos-security-token': 't' } })],
  [
    'a bucket that is not there',
    'NoSuchBucket',
    () => ({ host: `other-1250000000.cos.${REGION}.myqcloud.com` }),
  ],
  ['the wrong region', 'NoSuchBucket', () => ({ host: `${BUCKET}.cos.ap-hongkong.myqcloud.com` })],
  ['a host that is no bucket', 'NoSuchBucket', () => ({ host: '127.0.0.1' })],
])('%s is refused with %s, and nothing is stored', async (_, code, settings) => {
  const { cos, call } = await startTestCos();
  const answer = await call('PUT', 'k', { body: 'x', ...settings() });
  expect(answer.code).toBe(code);
  expect(cos.objects()).toEqual([]);
  expect(cos.requests()).toMatchObject([{ kind: 'put', key: 'k', status: answer.status, errorCode: code }]);
});

test('a signature is good for its method, path, parameters and headers only', async () => {
  const { call } = await startTestCos();
  const settings = {
    query: { prefix: 'a b+c/ü' },
    headers: { 'x-cos-meta-a': 'v 1/*' },
    signed: ['host', 'x-cos-meta-a'],
  };
  const host = `${BUCKET}.cos.${REGION}.myqcloud.com`;
  const authorization = authorize('GET', '', settings, { ...settings.headers, host });
  const replay = (method: string, key: string, changed: CallSettings) =>
    call(method, key, { ...settings, authorization, ...changed });
  expect((await replay('GET', '', {})).status).toBe(200);
  expect((await replay('HEAD', '', {})).status).toBe(403);
  expect((await replay('GET', 'k', {})).code).toBe('SignatureDoesNotMatch');
  expect((await replay('GET', '', { query: { prefix: 'b' } })).code).toBe('SignatureDoesNotMatch');
  expect((await replay('GET', '', { query: {} })).code).toBe('SignatureDoesNotMatch');
  expect((await replay('GET', '', { headers: { 'x-cos-meta-a': 'v' } })).code).toBe('SignatureDoesNotMatch');
  expect((await replay('GET', '', { headers: {} })).code).toBe('SignatureDoesNotMatch');
  expect((await replay('GET', '', { host: `x${host}` })).code).toBe('SignatureDoesNotMatch');
});

test('the clock of the server rules the window and the Date header', async () => {
  let nowMs = Date.now() + 2 * hour * 1000;
  const { call } = await startTestCos({ clock: () => nowMs });
  const late = await call('HEAD', '');
  expect(late.status).toBe(403);
  expect(Math.abs(Date.parse(late.headers.date as string) - nowMs)).toBeLessThan(2000);
  nowMs = Date.now();
  expect((await call('HEAD', '')).status).toBe(200);
});

test('temporary keys need their token, and it can expire', async () => {
  const { cos, call } = await startTestCos({ credentials: { ...CREDENTIALS, sessionToken: 'tok' } });
  const headers = { 'x-cos-security-token': 'tok' };
  expect((await call('GET', '')).code).toBe('InvalidAccessKeyId');
  expect((await call('GET', '', { headers: { 'x-cos-security-token': 'other' } })).code).toBe(
    'InvalidAccessKeyId',
  );
  expect((await call('GET', '', { headers })).status).toBe(200);
  cos.setTokenExpired(true);
  expect((await call('GET', '', { headers })).code).toBe('ExpiredToken');
});

test.each([
  ['the right Content-MD5', createHash('md5').update('body').digest('base64'), 200, undefined],
  ['the Content-MD5 of another body', createHash('md5').update('other').digest('base64'), 400, 'BadDigest'],
  ['a Content-MD5 that is none', 'abc', 400, 'InvalidDigest'],
])('%s is answered %i', async (_, md5, status, code) => {
  const { cos, call } = await startTestCos();
  expect(await call('PUT', 'k', { body: 'body', headers: { 'content-md5': md5 } })).toMatchObject({
    status,
    code,
  });
  expect(cos.objects()).toHaveLength(status === 200 ? 1 : 0);
});

test('a put without Content-Length is refused', async () => {
  const { call } = await startTestCos();
  const answer = await call('PUT', 'k', { body: 'body', chunked: true });
  expect(answer).toMatchObject({ status: 411, code: 'MissingContentLength' });
});

test.each<[string, Record<string, string>, string]>([
  ['metadata beyond 2 KB', { 'x-cos-meta-a': 'v'.repeat(2048) }, 'MetadataTooLarge'],
  ['metadata that is not ASCII', { 'x-cos-meta-a': 'é' }, 'InvalidArgument'],
  ['an underscore in a name', { 'x-cos-meta-first_id': 'v' }, 'InvalidArgument'],
  ['an unknown storage class', { 'x-cos-storage-class': 'COLD' }, 'InvalidArgument'],
])('%s is refused, at put and at init', async (_, headers, code) => {
  const { cos, call } = await startTestCos();
  expect((await call('PUT', 'k', { body: 'b', headers })).code).toBe(code);
  expect((await call('POST', 'k', { query: { uploads: '' }, headers })).code).toBe(code);
  expect([...cos.objects(), ...cos.uploads()]).toEqual([]);
});

test('metadata of exactly 2 KB is taken', async () => {
  const { call } = await startTestCos();
  expect((await call('PUT', 'k', { headers: { 'x-cos-meta-a': 'v'.repeat(2047) } })).status).toBe(200);
});

test('calls that the server does not have are answered 501, not taken for others', async () => {
  const { cos, call } = await startTestCos();
  expect((await call('PUT', 'k', { query: { acl: '' } })).status).toBe(501);
  expect((await call('POST', 'k')).status).toBe(501);
  expect(cos.objects()).toEqual([]);
});
