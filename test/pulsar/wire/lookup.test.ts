import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createSource,
  failureOf,
  messages,
  openSource,
  startBroker,
  TOPIC,
  take,
  texts,
} from './loopback-source.ts';

async function brokerWith(count: number) {
  const broker = await startBroker();
  broker.createTopic(TOPIC);
  broker.publish(TOPIC, messages(count));
  return broker;
}

describe.each(['pulsar', 'http'] as const)('looking up by %s://', (scheme) => {
  const urlOf = (broker: Awaited<ReturnType<typeof startBroker>>) =>
    scheme === 'http' ? broker.httpUrl : broker.serviceUrl;

  it('follows redirects, and gives up where they do not end', async () => {
    const broker = await brokerWith(1);
    broker.faults.redirectLookups = 3;
    const { source, first } = await openSource({ serviceUrl: urlOf(broker) });
    expect(texts(await take(first, 1))).toEqual(['m0']);
    await source.close();
    broker.faults.redirectLookups = Number.POSITIVE_INFINITY;
    const failing = createSource({ serviceUrl: urlOf(broker) });
    expect(await failureOf(failing.open())).toMatchObject({ message: expect.stringContaining('redirects') });
  });

  it('tries the hosts of the service URL in turn', async () => {
    const broker = await brokerWith(1);
    const { host } = new URL(urlOf(broker));
    const { first } = await openSource({ serviceUrl: `${scheme}://127.0.0.1:1,${host}` });
    expect(texts(await take(first, 1))).toEqual(['m0']);
  });
});

it('reaches a broker behind a proxy through the service URL', async () => {
  const broker = await brokerWith(2);
  broker.faults.proxiesThroughServiceUrl = true;
  const { first } = await openSource(broker);
  expect(texts(await take(first, 2))).toEqual(['m0', 'm1']);
});

it('names the listener', async () => {
  const broker = await brokerWith(1);
  const asked: unknown[] = [];
  broker.onCommand((name, fields) => {
    if (name === 'lookupTopic') asked.push(fields['advertisedListenerName']);
    return undefined;
  });
  await openSource(broker, { listenerName: 'vpc:a/b' });
  expect(asked).toEqual(['vpc:a/b']);
});

it('shares one connection between the partitions of a broker', async () => {
  const broker = await startBroker();
  broker.createTopic(TOPIC, 5);
  const { partitions } = await openSource(broker);
  expect(partitions).toHaveLength(5);
  expect(broker.connections()).toMatchObject([{ consumers: 5 }]);
});

it('says so where HTTP answers are none of Pulsar, refused or absent', async () => {
  const broker = await brokerWith(1);
  const open = (timings?: { connectTimeoutMs: number }) =>
    failureOf(createSource({ serviceUrl: broker.httpUrl }, timings && { timings }).open());
  broker.faults.httpStatus = 401;
  expect(await open()).toMatchObject({ retryable: false, hint: expect.stringContaining('PULSAR_TOKEN') });
  broker.faults.httpStatus = 503;
  expect(await open()).toMatchObject({ retryable: true, message: expect.stringContaining('503') });
  broker.faults.httpStatus = undefined;
  broker.faults.isHttpSilent = true;
  expect(await open({ connectTimeoutMs: 150 })).toMatchObject({
    hint: expect.stringContaining('PULSAR_SERVICE_URL'),
  });
});

it('does not call it busy where the subscription is in use with another type', async () => {
  const broker = await brokerWith(1);
  await openSource(broker, { subscriptionType: 'shared' });
  expect(await failureOf(createSource(broker).open())).toMatchObject({
    code: 'source',
    hint: expect.stringContaining('PULSAR_SUBSCRIPTION_TYPE'),
  });
});

describe('over TLS', () => {
  let folder: string;
  const file = (name: string) => join(folder, name);

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-tls-'));
    const make = (name: string, subject: string, alternative: string) =>
      execFileSync(
        'openssl',
        `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=${subject} -addext subjectAltName=${alternative} -keyout ${file(`${name}.key`)} -out ${file(`${name}.pem`)}`.split(
          ' ',
        ),
        { stdio: 'pipe' },
      );
    make('right', 'localhost', 'IP:127.0.0.1');
    make('elsewhere', 'elsewhere', 'DNS:elsewhere.example');
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  async function tlsBroker(name: string) {
    const tls = {
      key: readFileSync(file(`${name}.key`), 'utf8'),
      cert: readFileSync(file(`${name}.pem`), 'utf8'),
    };
    const broker = await startBroker({ tls });
    broker.createTopic(TOPIC);
    broker.publish(TOPIC, messages(1));
    return broker;
  }

  it.each(['serviceUrl', 'httpUrl'] as const)('reads with a CA of its own (%s)', async (url) => {
    const broker = await tlsBroker('right');
    const { first } = await openSource({ serviceUrl: broker[url] }, { tlsCaFile: file('right.pem') });
    expect(texts(await take(first, 1))).toEqual(['m0']);
  });

  it.each([
    ['pulsar+ssl: an unknown CA', 'serviceUrl', undefined, 'right'],
    ['https: an unknown CA', 'httpUrl', undefined, 'right'],
    ['pulsar+ssl: a certificate for another host', 'serviceUrl', 'elsewhere.pem', 'elsewhere'],
    ['https: a certificate for another host', 'httpUrl', 'elsewhere.pem', 'elsewhere'],
  ] as const)('refuses, at once, %s', async (_, url, ca, certificate) => {
    const broker = await tlsBroker(certificate);
    const source = createSource({ serviceUrl: broker[url] }, { tlsCaFile: ca && file(ca) });
    expect(await failureOf(source.open())).toMatchObject({
      code: 'source',
      retryable: false,
      hint: expect.stringContaining('PULSAR_TLS_CA_FILE'),
    });
  });

  it('does not go on without TLS where the broker has no TLS address', async () => {
    const broker = await tlsBroker('right');
    broker.onAnswer((name, fields) => {
      if (name === 'lookupTopicResponse')
        Object.assign(fields, { brokerServiceUrlTls: undefined, brokerServiceUrl: 'pulsar://127.0.0.1:1' });
      return undefined;
    });
    const source = createSource(broker, { tlsCaFile: file('right.pem') });
    expect(await failureOf(source.open())).toMatchObject({
      message: expect.stringContaining('pulsar+ssl address'),
    });
  });

  it('names the CA file that cannot be read', () => {
    expect(() => createSource({ serviceUrl: 'pulsar+ssl://x:1' }, { tlsCaFile: '/not/there.pem' })).toThrow(
      expect.objectContaining({ code: 'config', message: expect.stringContaining('/not/there.pem') }),
    );
  });
});
