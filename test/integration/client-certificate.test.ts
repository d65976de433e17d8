// Real brokers that let in only who shows a certificate of their CA: as the transport asks for it, and as the login.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Secret } from '../../src/lib/secret.ts';
import type { Source } from '../../src/ports.ts';
import { type Certificates, makeCertificates, RSA } from '../certificates.ts';
import { type Broker, startBroker } from './broker/broker.ts';
import { freePorts } from './broker/ports.ts';
import { createTopic } from './broker/topics.ts';
import { publish } from './python-clients.ts';
import { drainPartition, idOf, openPartitions, wireSource } from './wire-drain.ts';

let certificates: Certificates;
let broker: Broker;
let urls: string[];
const opened: Source[] = [];

beforeAll(async () => {
  certificates = makeCertificates(RSA);
  certificates.selfSigned('unknown-ca', 'reader');
  certificates.issue('stranger', 'stranger');
  const [tlsPort, httpsPort] = await freePorts(2);
  broker = await startBroker({
    auth: true,
    extraConf: {
      brokerServicePortTls: String(tlsPort),
      webServicePortTls: String(httpsPort),
      tlsCertificateFilePath: certificates.file('server.pem'),
      tlsKeyFilePath: certificates.file('server.key'),
      tlsTrustCertsFilePath: certificates.file('ca.pem'),
      tlsRequireTrustedClientCertOnConnect: 'true',
      webServiceTlsProvider: 'SunJSSE',
      authenticationProviders: ['Token', 'Tls']
        .map((name) => `org.apache.pulsar.broker.authentication.AuthenticationProvider${name}`)
        .join(','),
    },
  });
  await broker.admin('POST', 'namespaces/public/default/permissions/reader', ['consume']);
  urls = [`pulsar+ssl://127.0.0.1:${tlsPort}`, `https://127.0.0.1:${httpsPort}`];
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((source) => source.close()));
});
afterAll(async () => {
  await broker.stop();
  certificates.remove();
});

function source(config: Parameters<typeof wireSource>[0]): Source {
  const made = wireSource({ tlsCaFile: certificates.file('ca.pem'), ...config });
  opened.push(made);
  return made;
}
const own = (name: string) => ({
  clientCertificate: {
    certFile: certificates.file(`${name}.pem`),
    keyFile: certificates.file(`${name}.key`),
  },
});

describe('a real broker that requires client certificates', () => {
  it('is read by the certificate alone, and by a token beside it', async () => {
    const topic = await createTopic(broker, 'by-certificate', 2);
    const token = broker.adminToken as string;
    const published = await publish(broker.serviceUrl, { topic, count: 60, size: 50, token });
    for (const [index, serviceUrl] of urls.entries()) {
      for (const [name, config] of Object.entries({
        certificate: own('reader'),
        token: { ...own('stranger'), token: new Secret(broker.token('reader')) },
      })) {
        const subscription = `by-${name}-${index}`;
        const partitions = await openPartitions(source({ serviceUrl, topic, subscription, ...config }));
        const got = await Promise.all(partitions.map((partition) => drainPartition(partition)));
        expect(
          got
            .flat()
            .map((message) => idOf(message))
            .sort(),
        ).toEqual(published.map(({ id }) => id).sort());
      }
    }
  });

  it('and gets none, or one of another CA, or of a name without a role: each is reported as what it is', async () => {
    const topic = await createTopic(broker, 'refused', 1);
    for (const serviceUrl of urls) {
      const failure = async (config: object) => {
        const error = await source({ serviceUrl, topic, ...config })
          .open()
          .catch((thrown: unknown) => thrown);
        expect(error).toMatchObject({ code: 'source', retryable: false });
        return (error as { hint: string }).hint;
      };
      const none = await failure({});
      expect(none).toMatch(/asks for a client certificate: set PULSAR_TLS_CERT_FILE and PULSAR_TLS_KEY_FILE/);
      expect(none).not.toMatch(/PULSAR_TLS_CA_FILE|server's certificate/);
      expect(await failure(own('unknown-ca'))).toMatch(
        /does not accept the client certificate of PULSAR_TLS_CERT/,
      );
      expect(await failure(own('stranger'))).toMatch(/client certificate\) the permission to consume/);
      expect(await failure({ ...own('reader'), token: new Secret('a.wrong.token') })).toMatch(
        /^Check PULSAR_TOKEN/,
      );
      // The one thing that is about the server's certificate.
      expect(await failure({ ...own('reader'), tlsCaFile: undefined })).toMatch(/PULSAR_TLS_CA_FILE/);
    }
  });
});
