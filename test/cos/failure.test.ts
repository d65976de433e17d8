// What a person reads when COS refuses: the code, the request id, what to do, and no secret.
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { listBuckets } from '../../src/cos/buckets.ts';
import { readFailure, storeError } from '../../src/cos/failure.ts';
import { type CosStore, createCosStore } from '../../src/cos/store.ts';
import type { BackupError } from '../../src/errors.ts';
import { keepingLogger } from '../fakes/loggers.ts';
import {
  type AnsweringServer,
  cosConfig,
  errorXml,
  refused,
  startAnsweringServer,
} from './answering-server.ts';
import { startLoopback } from './loopback.ts';

let server: AnsweringServer;
let store: CosStore;
const attributes = { metadata: {}, contentType: 'application/x-ndjson' };
const body = { chunks: [Buffer.from('x')], sizeBytes: 1 };

beforeEach(async () => {
  server = await startAnsweringServer();
  store = createCosStore(cosConfig(server.endpoint), { logger: keepingLogger() });
});
afterEach(async () => {
  await store.close();
  await server.close();
});

const creationFailure = (): Promise<BackupError> =>
  store.create('p/k.jsonl', body, '1', attributes).then(
    () => expect.unreachable(),
    (error) => error,
  );

describe('a refusal says what to do:', () => {
  test.each<[status: number, code: string, isRetryable: boolean, hint: RegExp]>([
    [
      403,
      'AccessDenied',
      false,
      /cos:PutObject on the resource qcs::cos:ap-guangzhou:uid\/1250000000:backup-/,
    ],
    [404, 'NoSuchBucket', false, /COS_BUCKET \(name-appid.*COS_REGION/],
    [403, 'SignatureDoesNotMatch', false, /TENCENTCLOUD_SECRETKEY/],
    [403, 'InvalidAccessKeyId', false, /run role/],
    [403, 'ExpiredToken', false, /TENCENTCLOUD_SESSIONTOKEN/],
    [403, 'RequestTimeTooSkewed', false, /clock/],
    [301, 'PermanentRedirect', false, /another region/],
    [307, 'TemporaryRedirect', false, /another region/],
    [503, 'SlowDown', true, /request rate/],
    [429, 'TooManyRequests', true, /request rate/],
    [500, 'InternalError', true, /request id/],
    [400, 'RequestTimeout', true, /tried again/],
    [400, 'BadDigest', true, /tried again/],
    [400, 'InvalidArgument', false, /error code/],
    [451, 'AuditForbidden', false, /error code/],
  ])('%i %s', async (status, code, retryable, hint) => {
    server.answer = refused(status, code, 'The reason.');
    const error = await creationFailure();
    expect(error).toMatchObject({
      code: 'store',
      retryable,
      outcomeUnknown: status >= 500,
      details: { status, code, requestId: 'REQ-1' },
    });
    expect(error.hint).toMatch(hint);
    expect(error.message).toBe(
      `cannot store the object p/k.jsonl in bucket backup-1250000000 (ap-guangzhou): ${code}: The reason.`,
    );
  });

  test.each([
    ['The account is in arrears', /owes money.*Billing/],
    ['Your account is overdue', /owes money/],
    ['账户欠费', /owes money/],
    ['Access Denied by bucket policy', /deny in the bucket's policy/],
    ['Access Denied because of IP', /qcs:ip/],
    ['You are denied by bucket referer rule', /empty Referer/],
    ['The object is locked until 2027', /object lock or retention/],
    ['Object is under retention', /object lock or retention/],
    ['The request is outside the VPC', /vpc:requester_vpc/],
    ['Access to the KMS key is denied', /kms:GenerateDataKey/],
    ['Anonymous access is forbidden', /Authorization header/],
    ['Your bucket has been frozen', /blocked at Tencent Cloud/],
  ])('403 AccessDenied: %s', async (reason, hint) => {
    server.answer = refused(403, 'AccessDenied', reason);
    const error = await creationFailure();
    expect(error.message).toContain(`AccessDenied: ${reason}`);
    expect(error.hint).toMatch(hint);
    expect(error.hint).not.toMatch(/run role|cos:PutObject/);
  });

  test.each(['Access Denied.', 'Access Denied', 'AccessDenied', 'Forbidden'])(
    '403 AccessDenied: %s, which is no reason, is a missing permission',
    async (message) => {
      server.answer = refused(403, 'AccessDenied', message);
      expect((await creationFailure()).hint).toMatch(/^The run role .* cos:PutObject on the resource/);
    },
  );

  test('a reason that nobody here knows is reported in the words of COS, with the permission it may be', async () => {
    server.answer = refused(403, 'AccessDenied', 'Only on Tuesdays.');
    expect((await creationFailure()).hint).toMatch(
      /^COS gives the reason: "Only on Tuesdays\.".*cos:PutObject/,
    );
  });

  test.each([
    ['x-cos-bucket-region', { 'x-cos-bucket-region': 'ap-guangzhou' }],
    ['location', { location: 'https://backup-1250000000.cos.ap-guangzhou.myqcloud.com/p/k.jsonl' }],
  ])('a redirect to the same region (%s) is not said to be one to another', async (_, headers) => {
    server.answer = refused(301, 'PermanentRedirect', 'moved', headers);
    const { hint } = await creationFailure();
    expect(hint).toMatch(/in ap-guangzhou, as COS_REGION says.*COS_ENDPOINT/);
    expect(hint).not.toMatch(/another region|set COS_REGION/);
  });

  test.each([
    ['ap-beijing', /set COS_REGION=ap-beijing/],
    ['eu-frankfurt', /eu-frankfurt, where rules cannot store/],
  ])('a redirect to %s names it', async (region, hint) => {
    server.answer = refused(301, 'PermanentRedirect', 'moved', { 'x-cos-bucket-region': region });
    expect((await creationFailure()).hint).toMatch(hint);
  });

  test('a page of a gateway is not taken for a missing permission', async () => {
    server.answer = (_request, response) => {
      response.writeHead(403, { 'content-type': 'text/html' }).end('<html>Blocked</html>');
    };
    const error = await creationFailure();
    expect(error.hint).toMatch(/between here and COS answers/);
    expect(error.hint).not.toMatch(/cos:PutObject/);
  });

  test.each([
    [403, 'InvalidObjectState', /archive thaw/],
    [400, 'InvalidStorageClass', /COS_STORAGE_CLASS/],
    [400, 'KeyTooLong', /COS_PREFIX/],
  ])('%i %s', async (status, code, hint) => {
    server.answer = refused(status, code, 'x');
    expect((await creationFailure()).hint).toMatch(hint);
  });

  test('from a shell, nothing is said about a function', async () => {
    const shell = createCosStore(cosConfig(server.endpoint, { runsFrom: 'shell' }), {
      logger: keepingLogger(),
    });
    for (const [status, code] of [
      [403, 'AccessDenied'],
      [403, 'SignatureDoesNotMatch'],
      [403, 'InvalidAccessKeyId'],
      [404, 'NoSuchBucket'],
      [301, 'PermanentRedirect'],
    ] as const) {
      server.answer = refused(status, code);
      const error = await shell.create('k', body, '1', attributes).catch((thrown: BackupError) => thrown);
      expect((error as BackupError).hint).not.toMatch(/function|run role|VPC/);
    }
    await shell.close();
    const place = { bucket: 'b-1', region: 'ap-guangzhou', endpoint: undefined, runsFrom: 'shell' } as const;
    for (const code of ['ENOTFOUND', 'ETIMEDOUT']) {
      const failure = readFailure({ code, message: 'x' }, (text) => text);
      const made = { wasMade: true, wasSent: false };
      expect(storeError(failure, { doing: 'x', action: 'X' }, place, made).hint).not.toMatch(/function|VPC/);
    }
  });

  test('a redirect reports where COS points to', async () => {
    server.answer = refused(301, 'PermanentRedirect', 'moved', {
      location: 'http://cos.ap-beijing.myqcloud.com/',
    });
    expect((await creationFailure()).hint).toContain('cos.ap-beijing.myqcloud.com');
  });

  test("a proxy's page instead of COS's XML is a failure with its status", async () => {
    server.answer = (_request, response) => {
      response.writeHead(502, { 'content-type': 'text/html' }).end('<html><body>Bad Gateway</body></html>');
    };
    expect(await creationFailure()).toMatchObject({ retryable: true, details: { status: 502 } });
  });

  test('a refused HEAD, which has no body, says that the credentials may be wrong too', async () => {
    server.answer = refused(403, 'AccessDenied');
    await expect(store.head('k')).rejects.toMatchObject({
      retryable: false,
      hint: expect.stringMatching(/cos:HeadObject.*credentials/),
      details: { status: 403, requestId: 'REQ-1' },
    });
  });

  test.each([
    ['AccessDenied', 'The account is in arrears', /owes money/],
    ['InvalidAccessKeyId', 'x', /credentials are unknown/],
  ])('a refused HEAD is reported with the reason that a GET gets: %s', async (code, message, hint) => {
    server.answer = refused(403, code, message);
    await expect(store.head('k')).rejects.toMatchObject({
      hint: expect.stringMatching(hint),
      details: { code },
    });
    expect(server.arrived.map(({ method }) => method)).toEqual(['HEAD', 'GET']);
  });

  test('where all is refused for one reason, a creation reports it, also where versioning could not be asked for', async () => {
    server.answerVersioning = refused(403, 'AccessDenied', 'The account is in arrears');
    server.answer = server.answerVersioning;
    const error = await creationFailure();
    expect(error.message).toContain('The account is in arrears');
    expect(error.hint).toMatch(/owes money/);
  });

  test('names that cannot be resolved and certificates that are not trusted', () => {
    const place = { bucket: 'b-1', region: 'ap-guangzhou', endpoint: undefined };
    const errorOf = (code: string) => {
      const failure = readFailure({ code, message: 'x' }, (text) => text);
      return storeError(failure, { doing: 'x', action: 'X' }, place, { wasMade: true, wasSent: false });
    };
    expect(errorOf('ENOTFOUND')).toMatchObject({
      retryable: true,
      hint: expect.stringContaining('COS_REGION'),
    });
    expect(errorOf('ETIMEDOUT')).toMatchObject({ retryable: true, hint: expect.stringContaining('VPC') });
    for (const code of ['CERT_HAS_EXPIRED', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'ERR_TLS_CERT_ALTNAME_INVALID']) {
      expect(errorOf(code)).toMatchObject({ retryable: false, hint: expect.stringContaining('certificate') });
    }
  });

  test('an https endpoint that does not speak TLS is not tried again', async () => {
    const tls = createCosStore(cosConfig(server.endpoint.replace('http:', 'https:')), {
      logger: keepingLogger(),
    });
    await expect(tls.head('k')).rejects.toMatchObject({
      retryable: false,
      hint: expect.stringContaining('COS_ENDPOINT'),
    });
    await tls.close();
  });

  test('settings that no request can be made of are not tried again', async () => {
    const odd = createCosStore(cosConfig(server.endpoint, { bucket: 'without-number' }), {
      logger: keepingLogger(),
    });
    await expect(odd.head('k')).rejects.toMatchObject({
      code: 'store',
      retryable: false,
      hint: expect.stringContaining('COS_BUCKET'),
    });
    await odd.close();
  });
});

test('no secret is in an error, whatever COS or something on the way quotes of the request', async () => {
  server.answer = ({ headers }, response) => {
    const quoted = `${headers.authorization} token ${headers['x-cos-security-token']} key very-secret-key`;
    response.writeHead(403, { 'x-echo': quoted.slice(0, 1000), location: `/?${headers.authorization}` });
    response.end(
      errorXml('SignatureDoesNotMatch', quoted.replaceAll('&', '&amp;')).replace(
        '</Error>',
        `<StringToSign>${quoted.replaceAll('&', '&amp;')}</StringToSign></Error>`,
      ),
    );
  };
  const drained = async () => {
    for await (const _chunk of store.read('k')) expect.unreachable();
  };
  const signature = () =>
    /q-signature=([0-9a-f]+)/.exec(server.arrived.at(-1)?.headers.authorization ?? '')?.[1];
  for (const call of [creationFailure, () => store.head('k'), drained, () => store.admin.getLifecycle()]) {
    const error = (await call().catch((thrown) => thrown)) as BackupError;
    const shown = [
      inspect(error, { depth: 20, showHidden: true }),
      JSON.stringify(error),
      JSON.stringify(error.cause),
      String(error.stack),
      inspect(store, { depth: 20, showHidden: true }),
    ].join('\n');
    expect(shown).toContain('403');
    expect(signature()).toMatch(/^[0-9a-f]{40}$/);
    for (const secret of ['very-secret-key', 'session-token-1', 'AKIDexample', signature() as string]) {
      expect(shown).not.toContain(secret);
    }
  }
});

describe('a clock that is wrong', () => {
  test.each([3_600_000, -3_600_000])(
    'by %i ms is corrected: the next try is signed with the time of COS',
    async (by) => {
      const { cos, end } = await startLoopback({ clock: () => Date.now() + by });
      const logger = keepingLogger();
      for (const call of ['create', 'head', 'read', 'list'] as const) {
        const skewed = createCosStore(cosConfig(cos.url), { logger });
        const make = async () => {
          if (call === 'create') await skewed.create(`k${by}`, body, '1', attributes).catch(onlyDamaged);
          else if (call === 'head') await skewed.head('k');
          else if (call === 'list') for await (const _item of skewed.list('')) break;
          else for await (const _chunk of skewed.read(`k${by}`)) break;
        };
        await expect(make()).rejects.toMatchObject({ code: 'store', retryable: true });
        await expect(make()).resolves.toBeUndefined();
        await skewed.close();
      }
      expect(logger.lines.map(({ level }) => level)).toEqual(['warn', 'warn', 'warn', 'warn']);
      await end();
    },
  );

  test('is corrected once for all calls that are under way side by side', async () => {
    const { cos, end } = await startLoopback({ clock: () => Date.now() + 3_600_000 });
    const logger = keepingLogger();
    const skewed = createCosStore(cosConfig(cos.url), { logger });
    const [first, second] = await Promise.allSettled([skewed.head('a'), skewed.head('b')]);
    for (const outcome of [first, second]) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'store', retryable: true } });
    }
    await expect(skewed.head('a')).resolves.toBeUndefined();
    expect(logger.lines).toHaveLength(1);
    await skewed.close();
    await end();
  });

  test('and stays wrong after that is not tried again', async () => {
    server.answer = refused(403, 'RequestTimeTooSkewed', 'x', {
      date: new Date(Date.now() + 7_200_000).toUTCString(),
    });
    expect(await creationFailure()).toMatchObject({ retryable: true });
    expect(await creationFailure()).toMatchObject({
      retryable: false,
      hint: expect.stringContaining('clock'),
    });
  });
});

const onlyDamaged = (error: BackupError): void => {
  // The test's checksum is made up; that COS compared it is enough.
  if (error.code !== 'corrupt') throw error;
};

test('buckets that cannot be listed are told by why', async () => {
  const { credentials } = cosConfig(undefined);
  const hintOf = async (endpoint: string): Promise<string> =>
    listBuckets({ credentials, region: 'ap-guangzhou', endpoint }).then(
      () => expect.unreachable(),
      (error: BackupError) => error.hint as string,
    );
  for (const [status, code, hint] of [
    [403, 'AccessDenied', /name\/cos:GetService/],
    [403, 'SignatureDoesNotMatch', /API keys: check them/],
    [403, 'InvalidAccessKeyId', /API keys: check them/],
  ] as const) {
    server.answer = refused(status, code);
    expect(await hintOf(server.endpoint)).toMatch(hint);
  }
  expect(await hintOf('http://127.0.0.1:1')).toMatch(/not reached/);
});
