// PULSAR_DRIVER=native and a broker that hangs, restarts, speaks TLS or would create topics, over pulsar-client where its
// binding loads.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findNativeBinding, type NativeBinding } from '../contract/native-binding.ts';
import { expectExactlyOnce, storedFiles } from './archive-under-test.ts';
import { type Broker, startBroker } from './broker/broker.ts';
import { freePorts } from './broker/ports.ts';
import { backlogOf, createSubscription, createTopic } from './broker/topics.ts';
import { invoke } from './invoke.ts';
import { publish } from './python-clients.ts';
import { prefixOf, ruleEnv, useCos } from './use-cos.ts';

const binding = await findNativeBinding('brokers in trouble with PULSAR_DRIVER=native');
if (binding === undefined) {
  it('a run whose driver is not there connects to nothing', async () => {
    let connections = 0;
    const server = createServer(() => connections++).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const cos = { url: `http://127.0.0.1:${port}` };
    const native = { PULSAR_DRIVER: 'native' };
    const env = ruleEnv(cos, `pulsar://127.0.0.1:${port}`, 'public/default/t', native);
    const { thrown, output } = await invoke({ env });
    server.close();
    expect(thrown, output).toMatchObject({ code: 'config' });
    expect(connections).toBe(0);
  });
} else {
  describe(`over pulsar-client ${binding.version}`, () => describeBrokers(binding));
}

function describeBrokers({ can }: NativeBinding): void {
  const cos = useCos();
  const envOf = (serviceUrl: string, topic: string, env: Readonly<Record<string, string>> = {}) =>
    ruleEnv(cos(), serviceUrl, topic, { PULSAR_DRIVER: 'native', ...env });

  async function publishedTopic(broker: Broker, name: string, partitions: number, count: number) {
    const topic = await createTopic(broker, name, partitions);
    await createSubscription(broker, topic, 'backup');
    return { topic, published: await publish(broker.serviceUrl, { topic, count, batch_messages: 20 }) };
  }

  async function expectNextRunToEnd(
    broker: Broker,
    topic: string,
    published: Awaited<ReturnType<typeof publish>>,
    env: Readonly<Record<string, string>>,
  ) {
    const next = await invoke({ env });
    expect(next.summary, next.output).toMatchObject({ stopReason: 'caught_up' });
    expectExactlyOnce(storedFiles(cos(), prefixOf(topic)), topic, published, can);
    expect(await backlogOf(broker, topic, 'backup')).toBe(0);
  }

  /** Does something to the broker when the n-th file is about to be stored. */
  function atPut(n: number, act: () => Promise<unknown>): void {
    let puts = 0;
    cos().setOnRequest(async (kind) => {
      if (kind === 'put' && ++puts === n) await act();
    });
  }

  it('a broker that is killed and comes back with its data is waited for, and each message is stored once', async () => {
    const broker = await startBroker({ metadata: 'rocksdb' });
    try {
      const { topic, published } = await publishedTopic(broker, 'restarted', 2, 4_000);
      const env = envOf(broker.serviceUrl, topic, { FILE_MAX_MESSAGES: '100' });
      let restarted: Promise<void> | undefined;
      atPut(5, async () => {
        restarted = broker.kill9().then(() => broker.restart());
      });
      const first = await invoke({ env });
      cos().setOnRequest(undefined);
      await restarted;
      expect([undefined, 'source'], first.output).toContain(first.thrown?.code);
      await expectNextRunToEnd(broker, topic, published, env);
    } finally {
      await broker.stop();
    }
  });

  it('a broker that hangs does not keep the run or its process beyond the time limit, and nothing is lost', async () => {
    const broker = await startBroker();
    try {
      const { topic, published } = await publishedTopic(broker, 'hanging', 2, 4_000);
      const env = envOf(broker.serviceUrl, topic, { FILE_MAX_MESSAGES: '100', RUN_RESERVE_SECONDS: '5' });
      atPut(5, () => broker.freeze());
      const stopped = await invoke({ env, timeLimitMs: 20_000 });
      cos().setOnRequest(undefined);
      expect(stopped.durationMs).toBeLessThan(20_000);
      await broker.thaw();
      await expectNextRunToEnd(broker, topic, published, env);
    } finally {
      await broker.stop();
    }
  });

  it('a host that accepts the connection and never answers fails the run, and the process ends', async () => {
    const sockets = new Set<{ destroy(): void }>();
    const server = createServer((socket) => sockets.add(socket)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const { thrown, output, durationMs } = await invoke({
      env: envOf(`pulsar://127.0.0.1:${port}`, 'public/default/t'),
    });
    for (const socket of sockets) socket.destroy();
    server.close();
    expect(thrown, output).toMatchObject({
      code: 'source',
      hint: expect.stringContaining('PULSAR_SERVICE_URL'),
    });
    expect(durationMs).toBeLessThan(30_000);
  });

  it('a broker that creates topics by itself creates one that is misspelt, which this driver cannot prevent', async () => {
    const broker = await startBroker({ extraConf: { allowAutoTopicCreation: 'true' } });
    try {
      for (const [name, url] of [
        ['never-made', broker.serviceUrl],
        ['nor-this', broker.httpUrl],
      ] as const) {
        const { summary, output } = await invoke({ env: envOf(url, `public/default/${name}`) });
        expect(summary, output).toMatchObject({ messages: 0, partitions: 1 });
        expect(await broker.admin('GET', 'persistent/public/default')).toContain(
          `persistent://public/default/${name}`,
        );
      }
    } finally {
      await broker.stop();
    }
  });

  it('is read over TLS, pulsar+ssl:// and https://, by the CA that is named', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-tls-'));
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    const request = `req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout ${key} -out ${cert}`;
    const args = [...request.split(' '), '-addext', 'subjectAltName=IP:127.0.0.1'];
    execFileSync('openssl', args, { stdio: 'pipe' });
    const [tlsPort, httpsPort] = await freePorts(2);
    const broker = await startBroker({
      extraConf: {
        brokerServicePortTls: String(tlsPort),
        webServicePortTls: String(httpsPort),
        tlsCertificateFilePath: cert,
        tlsKeyFilePath: key,
        webServiceTlsProvider: 'SunJSSE',
      },
    });
    try {
      for (const serviceUrl of [`pulsar+ssl://127.0.0.1:${tlsPort}`, `https://127.0.0.1:${httpsPort}`]) {
        const { topic, published } = await publishedTopic(broker, `tls-${serviceUrl.slice(0, 5)}`, 2, 100);
        const unknownCa = await invoke({ env: envOf(serviceUrl, topic) });
        expect(unknownCa.thrown, unknownCa.output).toMatchObject({ code: 'source' });
        const known = await invoke({ env: envOf(serviceUrl, topic, { PULSAR_TLS_CA_FILE: cert }) });
        expect(known.summary, known.output).toMatchObject({ messages: 100 });
        expectExactlyOnce(storedFiles(cos(), prefixOf(topic)), topic, published, can);
      }
    } finally {
      await broker.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  });
}
