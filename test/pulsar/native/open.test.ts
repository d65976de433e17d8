import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Secret } from '../../../src/lib/secret.ts';
import type { Logger, SourcePartition } from '../../../src/ports.ts';
import { createNativeSource } from '../../../src/pulsar/native/source.ts';
import { makeCertificates } from '../../certificates.ts';
import { keepingLogger, silentLogger } from '../../fakes/loggers.ts';
import { virtualClock } from '../virtual-clock.ts';
import { nativeConfig, nativeFixture, nativeFixtureOf, single, TOPIC, textOf } from './fixture.ts';

describe('opening the native source', () => {
  it('makes one consumer per partition, in order', async () => {
    const fixture = nativeFixture();
    fixture.pulsar.addTopic(TOPIC.full, 3);
    fixture.pulsar.publish(`${TOPIC.full}-partition-2`, single(0));
    const partitions = await fixture.source().open();
    if (partitions === 'busy') throw new Error('busy');
    expect(partitions.map(({ partition, topic, end }) => [partition, topic, end])).toEqual(
      [0, 1, 2].map((n) => [n, `${TOPIC.full}-partition-${n}`, 'unknown']),
    );
    expect(await partitions[2]?.next(1_000)).toMatchObject({ messages: [{ id: { partition: 2 } }] });
    expect(await partitions[2]?.backlog()).toBeUndefined();
  });

  it('asks the client for what a short run needs', async () => {
    const fixture = nativeFixture();
    await fixture.open({ token: new Secret('jwt'), listenerName: 'vpc', initialPosition: 'latest' });
    const client = fixture.pulsar.lastConfig;
    expect(client).toMatchObject({
      listenerName: 'vpc',
      tlsValidateHostname: true,
      authentication: { token: 'jwt' },
    });
    expect(client.operationTimeoutSeconds * 1_000 + client.connectionTimeoutMs).toBeLessThan(30_000);
    const [consumer] = fixture.pulsar.consumerConfigs;
    expect(consumer).toMatchObject({ subscriptionInitialPosition: 'Latest', maxPendingChunkedMessage: 0 });
    expect(consumer?.batchReceivePolicy.maxNumMessages).toBeLessThanOrEqual(
      consumer?.receiverQueueSize as number,
    );
    expect(consumer?.batchReceivePolicy.timeoutMs).toBeLessThanOrEqual(500);
  });

  it.each([
    [true, 'Latest'],
    [false, 'Earliest'],
  ])('begins at latest in the first run alone (%s)', async (isFirst, position) => {
    const fixture = nativeFixtureOf({ isFirstRun: async () => isFirst });
    await fixture.open({ initialPosition: 'latest' });
    expect(fixture.pulsar.consumerConfigs[0]).toMatchObject({ subscriptionInitialPosition: position });
  });

  it('gives the client the CAs, which its own install script may not have left there', async () => {
    const fixture = nativeFixture();
    const source = fixture.source({ serviceUrl: 'pulsar+ssl://127.0.0.1:6651' });
    await source.open();
    const path = fixture.pulsar.lastConfig.tlsTrustCertsFilePath as string;
    expect(readFileSync(path, 'utf8')).toContain('BEGIN CERTIFICATE');
    await source.close();
    expect(existsSync(path)).toBe(false);
    await fixture.source({ serviceUrl: 'https://127.0.0.1:8443', tlsCaFile: '/etc/own.pem' }).open();
    expect(fixture.pulsar.lastConfig.tlsTrustCertsFilePath).toBe('/etc/own.pem');
  });

  it('shows the client certificate, and logs in by it where there is no token', async () => {
    const certificates = makeCertificates();
    try {
      const [certFile, keyFile] = [certificates.file('reader.pem'), certificates.file('reader.key')];
      const serviceUrl = 'pulsar+ssl://127.0.0.1:6651';
      const files = { tlsCertificateFilePath: certFile, tlsPrivateKeyFilePath: keyFile };
      const fixture = nativeFixture();
      await fixture.source({ serviceUrl, clientCertificate: { certFile, keyFile } }).open();
      expect(fixture.pulsar.lastConfig).toMatchObject({
        ...files,
        authentication: { certificate: { certificatePath: certFile, privateKeyPath: keyFile } },
      });
      const both = { serviceUrl, clientCertificate: { certFile, keyFile }, token: new Secret('jwt') };
      await fixture.source({ ...both, subscription: 'other' }).open();
      expect(fixture.pulsar.lastConfig).toMatchObject({ ...files, authentication: { token: 'jwt' } });
      fixture.pulsar.isOld = true;
      await expect(fixture.source(both).open()).rejects.toMatchObject({
        code: 'config',
        hint: expect.stringContaining('PULSAR_DRIVER=wire'),
      });
      const wrong = { certFile, keyFile: certificates.file('server.key') };
      await expect(fixture.source({ serviceUrl, clientCertificate: wrong }).open()).rejects.toMatchObject({
        code: 'config',
        message: expect.stringContaining('PULSAR_TLS_KEY_FILE'),
      });
    } finally {
      certificates.remove();
    }
  });

  it("answers 'busy' where somebody has the Exclusive subscription, and leaves nothing open", async () => {
    const fixture = nativeFixture();
    fixture.pulsar.addTopic(TOPIC.full, 2);
    await fixture.source().open();
    await fixture.source({ subscription: 'other' }).open();
    await fixture.pulsar.consumers[0]?.close();
    expect(await fixture.source().open()).toBe('busy');
    expect(fixture.pulsar.openClients).toBe(2);
    expect(fixture.pulsar.consumers.at(-1)?.isOpen).toBe(false);
  });

  it('fails on ConsumerBusy of any other type, which then means another type is in use', async () => {
    const fixture = nativeFixture();
    await fixture.open();
    await expect(fixture.source({ subscriptionType: 'failover' }).open()).rejects.toMatchObject({
      code: 'source',
      hint: expect.stringContaining('PULSAR_SUBSCRIPTION_TYPE'),
    });
  });

  it.each([
    ['lookup', 'Failed to GetPartitionsForTopic: TopicNotFound', 'source', false, 'PULSAR_TOPIC'],
    ['lookup', 'Failed to GetPartitionsForTopic: ConnectError', 'source', true, 'PULSAR_SERVICE_URL'],
    ['subscribe', 'Failed to create consumer: AuthorizationError', 'source', false, 'PULSAR_TOKEN'],
    ['subscribe', 'Failed to create consumer: InvalidUrl', 'config', false, 'PULSAR_SERVICE_URL'],
    ['subscribe', 'Something new', 'source', false, 'PULSAR_DRIVER=wire'],
  ] as const)('reports what %s: %s means, and closes the client', async (at, text, code, retryable, hint) => {
    const fixture = nativeFixture();
    fixture.pulsar.faults.push({ at, text });
    await expect(fixture.source().open()).rejects.toMatchObject({
      code,
      retryable,
      hint: expect.stringContaining(hint),
      message: expect.stringContaining(text),
    });
    expect(fixture.pulsar.openClients).toBe(0);
  });

  it.each([
    ['1.18', 'pulsar', 'TimeOut'],
    ['1.14', 'pulsar', 'ConnectError'],
    ['1.18', 'http', 'HTTP 401'],
    ['1.14', 'http', 'HTTP 401'],
  ])(
    'of %s names the token over %s://, within 30 s and without showing it',
    async (version, scheme, text) => {
      const fixture = nativeFixture();
      fixture.pulsar.isOld = version === '1.14';
      fixture.pulsar.token = 'right';
      const before = fixture.pulsar.clock.now();
      const failure = await fixture
        .source({ token: new Secret('wrong-token'), serviceUrl: `${scheme}://127.0.0.1:8080` })
        .open()
        .catch((error) => error);
      expect(failure).toMatchObject({
        code: 'source',
        message: expect.stringContaining(text),
        hint: expect.stringContaining('PULSAR_TOKEN'),
      });
      expect(`${failure.message} ${failure.hint} ${JSON.stringify(failure)}`).not.toContain('wrong-token');
      expect(fixture.pulsar.clock.now() - before).toBeLessThan(30_000);
    },
  );

  it('reports over http:// that the topic is not there, which the client calls a failed connection', async () => {
    const fixture = nativeFixture();
    fixture.pulsar.topics.clear();
    await expect(fixture.source({ serviceUrl: 'http://127.0.0.1:8080' }).open()).rejects.toMatchObject({
      message: expect.stringContaining('ConnectError (HTTP 404)'),
      retryable: false,
      hint: expect.stringContaining('PULSAR_TOPIC'),
    });
  });
});

describe('closing the native source', () => {
  it.each([false, true])(
    'awaits consumers and client, may be repeated (client of 1.14: %s)',
    async (isOld) => {
      const fixture = nativeFixture();
      fixture.pulsar.isOld = isOld;
      const source = fixture.source();
      await source.open();
      await source.close();
      expect(fixture.pulsar.openClients).toBe(0);
      expect(fixture.consumer().isOpen).toBe(false);
      await source.close();
      expect(fixture.pulsar.openClients).toBe(0);
    },
  );

  it('lets the receive under way end before the client does, which would leave it open for ever', async () => {
    const fixture = nativeFixture();
    const source = fixture.source();
    const [partition] = (await source.open()) as [SourcePartition];
    const waiting = partition.next(60_000).catch(() => undefined);
    await fixture.pulsar.clock.sleep(150);
    expect(fixture.consumer().receiving).toBe(1);
    fixture.abort.abort();
    await waiting;
    await source.close();
    expect(fixture.consumer().receiving).toBe(0);
  });

  it('never throws', async () => {
    const fixture = nativeFixture();
    const source = fixture.source();
    await source.open();
    fixture.pulsar.faults.push({ at: 'close', text: 'Failed to close consumer: TimeOut' });
    await source.close();
    expect(fixture.lines).toContainEqual(
      expect.objectContaining({ level: 'warn', message: 'consumer not closed' }),
    );
    expect(fixture.pulsar.openClients).toBe(0);
  });

  it('ends although the client does not', async () => {
    const fixture = nativeFixture();
    const source = fixture.source();
    await source.open();
    fixture.pulsar.closeHangs = true;
    const before = fixture.pulsar.clock.now();
    await source.close();
    expect(fixture.pulsar.clock.now() - before).toBeLessThanOrEqual(20_000);
  });
});

describe('the log of libpulsar', () => {
  it('goes to the logger of the latest run, through one handler, and never throws', async () => {
    const clock = virtualClock();
    const { pulsar } = nativeFixture();
    const module = pulsar.module();
    const first = keepingLogger();
    const second = keepingLogger();
    const open = (logger: Logger, subscription: string) =>
      createNativeSource(
        { config: nativeConfig({ subscription }), receiveBudgetBytes: 1, clock, logger },
        async () => module,
      ).open();
    await open(first, 'a');
    pulsar.log(1, 'Connected');
    await open(second, 'b');
    pulsar.log(2, 'Reconnecting');
    pulsar.log(3, 'Discarding corrupted message at 7:1');
    expect(pulsar.logHandlers).toBe(1);
    expect(first.lines.map(({ level, fields }) => [level, fields['text']])).toEqual([['debug', 'Connected']]);
    expect(second.lines.map(({ level, fields }) => [level, fields['text']])).toEqual([
      ['warn', 'Reconnecting'],
      ['error', 'Discarding corrupted message at 7:1'],
    ]);
    const broken = () => {
      throw new Error('the pipe is gone');
    };
    await open({ debug: broken, info: broken, warn: broken, error: broken }, 'c');
    expect(() => pulsar.log(3, 'anything')).not.toThrow();
  });
});

describe('a pulsar-client that does not load', () => {
  const failing = (error: unknown) => {
    const options = {
      config: nativeConfig(),
      receiveBudgetBytes: 1,
      clock: virtualClock(),
      logger: silentLogger,
    };
    return createNativeSource(options, () => Promise.reject(error)).open();
  };

  it.each([
    [
      "Cannot find package 'pulsar-client' imported from /var/user/index.js",
      'ERR_MODULE_NOT_FOUND',
      'is not installed',
    ],
    [
      "Cannot find module 'pulsar-client'\nRequire stack:\n- /var/user/index.js",
      'MODULE_NOT_FOUND',
      'is not installed',
    ],
    [
      "Cannot find module '/n/pulsar-client/lib/binding/pulsar.node'",
      'MODULE_NOT_FOUND',
      'without its binding',
    ],
    [
      "/lib64/libc.so.6: version `GLIBC_2.30' not found (required by x.node)",
      'ERR_DLOPEN_FAILED',
      'GLIBC_2.30',
    ],
  ])('is a config error that says how to get it: %s', async (text, code, said) => {
    await expect(failing(Object.assign(new Error(text), { code }))).rejects.toMatchObject({
      code: 'config',
      message: expect.stringContaining(said),
      hint: expect.stringContaining('1.14.0'),
    });
  });

  it('is one also where the package is something else', async () => {
    const options = {
      config: nativeConfig(),
      receiveBudgetBytes: 1,
      clock: virtualClock(),
      logger: silentLogger,
    };
    await expect(createNativeSource(options, async () => ({ default: {} })).open()).rejects.toMatchObject({
      code: 'config',
    });
  });
});

it('a source of the native driver says so', () => {
  expect(nativeFixture().source().driver).toBe('native');
  expect(textOf({ kind: 'idle' })).toBe('idle');
});
