// Client certificates: shown to brokers that ask for them, and the login where there is no token.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/lib/clock.ts';
import { Secret } from '../../../src/lib/secret.ts';
import { createWirePublisher } from '../../../src/pulsar/wire/producer-publisher.ts';
import { parseTopicName, type TopicName } from '../../../src/topic-name.ts';
import { type Certificates, makeCertificates } from '../../certificates.ts';
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

let certificates: Certificates;
beforeAll(() => {
  certificates = makeCertificates();
  certificates.selfSigned('stranger', 'reader');
});
afterAll(() => certificates.remove());

const own = (name: string, key = name) => ({
  certFile: certificates.file(`${name}.pem`),
  keyFile: certificates.file(`${key}.key`),
});

/** A broker that lets in only who shows a certificate of the CA. */
async function strictBroker(tokens?: Record<string, { role: string; isAllowed: boolean }>) {
  const tls = {
    key: certificates.text('server.key'),
    cert: certificates.text('server.pem'),
    ca: certificates.text('ca.pem'),
  };
  const broker = await startBroker({ tls, ...(tokens && { tokens }) });
  broker.createTopic(TOPIC);
  broker.publish(TOPIC, messages(1));
  const logins: unknown[] = [];
  broker.onCommand((name, { authMethodName, authData }) => {
    if (name === 'connect') logins.push([authMethodName, authData && Buffer.from(authData).toString()]);
    return undefined;
  });
  return { broker, logins };
}

describe.each(['serviceUrl', 'httpUrl'] as const)('a broker that wants client certificates (%s)', (url) => {
  it('is read with one, which is the login too where there is no token', async () => {
    const { broker, logins } = await strictBroker();
    const config = { tlsCaFile: certificates.file('ca.pem'), clientCertificate: own('reader') };
    const { first } = await openSource({ serviceUrl: broker[url] }, config);
    expect(texts(await take(first, 1))).toEqual(['m0']);
    expect(logins).toEqual([['tls', '']]);
  });

  it('is read with one beside a token, which is the login then', async () => {
    const { broker, logins } = await strictBroker({ 'the-token': { role: 'reader', isAllowed: true } });
    const config = { tlsCaFile: certificates.file('ca.pem'), clientCertificate: own('reader') };
    const { first } = await openSource(
      { serviceUrl: broker[url] },
      { ...config, token: new Secret('the-token') },
    );
    expect(texts(await take(first, 1))).toEqual(['m0']);
    expect(logins).toEqual([['token', 'the-token']]);
  });

  it("names the settings where none is set, and does not speak of the server's certificate", async () => {
    const { broker } = await strictBroker();
    const source = createSource({ serviceUrl: broker[url] }, { tlsCaFile: certificates.file('ca.pem') });
    const error = await failureOf(source.open());
    expect(error).toMatchObject({ code: 'source', retryable: false });
    expect((error as { hint: string }).hint).toMatch(/asks for a client certificate.*PULSAR_TLS_CERT_FILE/);
    expect((error as { hint: string }).hint).not.toMatch(/server's certificate|PULSAR_TLS_CA_FILE/);
  });

  it('and ends the connection without a word because of the one of another CA, is said to do so', async () => {
    const { broker } = await strictBroker();
    const config = { tlsCaFile: certificates.file('ca.pem'), clientCertificate: own('stranger') };
    expect(await failureOf(createSource({ serviceUrl: broker[url] }, config).open())).toMatchObject({
      code: 'source',
      hint: expect.stringMatching(/^A broker that does not accept the certificate of PULSAR_TLS_CERT_FILE/),
    });
  });
});

it('a publisher shows it too', async () => {
  const { broker } = await strictBroker();
  const config = {
    serviceUrl: broker.serviceUrl,
    token: undefined,
    tlsCaFile: certificates.file('ca.pem'),
    listenerName: undefined,
  };
  const publisher = createWirePublisher({
    config: { ...config, clientCertificate: own('reader') },
    clock: systemClock,
    signal: new AbortController().signal,
  });
  expect(await publisher.partitions(parseTopicName(TOPIC) as TopicName)).toBe(0);
  await publisher.close();
});

it('a broker that wants tokens says what is missing, or that the certificate is shown over TLS only', async () => {
  const broker = await startBroker({ tokens: { 'the-token': { role: 'reader', isAllowed: true } } });
  for (const serviceUrl of [broker.serviceUrl, broker.httpUrl]) {
    const hintOf = async (config: Parameters<typeof createSource>[1]) =>
      ((await failureOf(createSource({ serviceUrl }, config).open())) as { hint: string }).hint;
    expect(await hintOf({})).toMatch(/^The cluster wants to know who asks: set PULSAR_TOKEN/);
    expect(await hintOf({ clientCertificate: own('reader') })).toMatch(/shown over TLS only/);
    expect(await hintOf({ token: new Secret('another') })).toMatch(/^Check PULSAR_TOKEN/);
    for (const prefix of ['token:', 'Bearer', 'file:///']) {
      expect(await hintOf({ token: new Secret(`${prefix}x`) })).toMatch(/must be the key alone/);
    }
    const expired = `e30.${Buffer.from('{"exp":1600000000}').toString('base64url')}.sig`;
    expect(await hintOf({ token: new Secret(expired) })).toMatch(/has expired \(2020-09-13T12:26:40.000Z\)/);
    const ofRole = { tdmqRole: { clusterId: 'pulsar-abc', roleName: 'backup-reader' } };
    expect(await hintOf({ token: new Secret('another'), ...ofRole })).toMatch(
      /TDMQ_ROLE_NAME \(backup-reader/,
    );
  }
});

it('a certificate is not shown as a login to a broker without TLS', async () => {
  const broker = await startBroker();
  broker.createTopic(TOPIC);
  const logins: unknown[] = [];
  broker.onCommand((name, fields) => {
    if (name === 'connect') logins.push(fields['authMethodName']);
    return undefined;
  });
  await openSource(broker, { clientCertificate: own('reader') });
  expect(logins).toEqual([undefined]);
});

describe('files of no use are faults of the settings, by their names:', () => {
  const failure = (config: Parameters<typeof createSource>[1]) => {
    try {
      createSource({ serviceUrl: 'pulsar+ssl://127.0.0.1:1' }, config);
    } catch (error) {
      return error;
    }
    return undefined;
  };
  const write = (name: string, text: string) => writeFileSync(certificates.file(name), text);

  it.each([
    ['PULSAR_TLS_CERT_FILE', 'is not there', () => own('nowhere', 'reader')],
    ['PULSAR_TLS_KEY_FILE', 'is not there', () => own('reader', 'nowhere')],
    ['PULSAR_TLS_KEY_FILE', 'is the key of another certificate', () => own('reader', 'stranger')],
    [
      'PULSAR_TLS_CERT_FILE',
      'holds a key',
      () => ({ ...own('reader'), certFile: certificates.file('reader.key') }),
    ],
    [
      'PULSAR_TLS_KEY_FILE',
      'holds a certificate',
      () => ({ ...own('reader'), keyFile: certificates.file('reader.pem') }),
    ],
    [
      'PULSAR_TLS_CERT_FILE',
      'is damaged',
      () => {
        write('damaged.pem', '-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----\n');
        return own('damaged', 'reader');
      },
    ],
    [
      'PULSAR_TLS_KEY_FILE',
      'wants a passphrase',
      () => {
        const [from, to] = [certificates.file('reader.key'), certificates.file('locked.key')];
        execFileSync('openssl', ['pkey', '-in', from, '-aes256', '-passout', 'pass:x', '-out', to], {
          stdio: 'pipe',
        });
        return own('reader', 'locked');
      },
    ],
  ] as const)('%s %s', (variable, _, clientCertificate) => {
    expect(failure({ clientCertificate: clientCertificate() })).toMatchObject({
      code: 'config',
      message: expect.stringContaining(variable),
      hint: expect.stringContaining(variable),
    });
  });

  it.each([
    ['no certificate', 'nothing here\n'],
    ['a damaged one', '-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----\n'],
  ])('PULSAR_TLS_CA_FILE holds %s', (_, text) => {
    write('empty.pem', text);
    expect(failure({ tlsCaFile: certificates.file('empty.pem') })).toMatchObject({
      code: 'config',
      message: expect.stringContaining('PULSAR_TLS_CA_FILE'),
    });
  });
});
