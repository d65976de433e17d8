// The wire driver over a real broker, fed by the official Python client: what the contract suite does not ask.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Secret } from '../../src/lib/secret.ts';
import type { Source } from '../../src/ports.ts';
import type { Timings } from '../../src/pulsar/wire/timer.ts';
import { startBroker } from './broker/broker.ts';
import { freePorts } from './broker/ports.ts';
import { backlogOf, createSubscription, createTopic } from './broker/topics.ts';
import { publish } from './python-clients.ts';
import { useBroker } from './use-broker.ts';
import { drainPartition, idOf, openPartitions, sha256, wireSource } from './wire-drain.ts';

const opened: Source[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((source) => source.close()));
});
function source(config: Parameters<typeof wireSource>[0], timings?: Partial<Timings>): Source {
  const made = wireSource(config, timings);
  opened.push(made);
  return made;
}
const sorted = (ids: readonly string[]) => [...ids].sort();
const pathOf = (topic: string) => topic.replace('://', '/');

describe('a real broker', () => {
  const broker = useBroker({ extraConf: { maxUnackedMessagesPerConsumer: '5000' } });
  let topics = 0;
  const newTopic = (partitions = 0) => createTopic(broker(), `wire-${topics++}`, partitions);

  it.each(['NONE', 'LZ4', 'ZLib', 'ZSTD', 'SNAPPY'] as const)(
    'gives every field and byte of varied messages in batches (%s)',
    async (compression) => {
      const topic = await newTopic(2);
      const published = await publish(broker().serviceUrl, {
        topic,
        count: 400,
        content: 'varied',
        compression,
        batch_messages: 37,
      });
      const { serviceUrl } = broker();
      const partitions = await openPartitions(source({ serviceUrl, topic }));
      const got = (await Promise.all(partitions.map((partition) => drainPartition(partition)))).flat();
      const byId = new Map(got.map((message) => [idOf(message), message]));
      expect(got).toHaveLength(published.length);
      for (const one of published) {
        const message = byId.get(one.id);
        expect(message).toMatchObject({ producer: one.producer, sequenceId: one.sequenceId });
        expect(message?.key ?? null).toBe(one.key);
        expect(message?.eventTimeMs ?? null).toBe(one.eventTimeMs);
        expect(
          message?.orderingKey === undefined ? null : Buffer.from(message.orderingKey).toString('base64'),
        ).toBe(one.orderingKey);
        expect(new Map(message?.properties)).toEqual(new Map(Object.entries(one.properties)));
        expect(sha256(message?.payload as Uint8Array | null)).toBe(one.sha256);
      }
      expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
    },
  );

  it('gives messages of 12 MB that were published in chunks, whole', async () => {
    const topic = await newTopic();
    const size = 12 * 1024 * 1024;
    const published = await publish(broker().serviceUrl, { topic, count: 2, size, chunking: true, keys: 0 });
    const [partition] = await openPartitions(source({ serviceUrl: broker().serviceUrl, topic }));
    const got = await drainPartition(partition as never);
    expect(got.map(({ payload }) => sha256(payload))).toEqual(published.map((one) => one.sha256));
    expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
  });

  it('that unloads the topic in mid-run loses nothing and gives nothing twice', async () => {
    const topic = await newTopic();
    const published = await publish(broker().serviceUrl, {
      topic,
      count: 2_000,
      size: 100,
      batch_messages: 10,
    });
    const [partition] = await openPartitions(source({ serviceUrl: broker().serviceUrl, topic }));
    const got = await drainPartition(partition as never, {
      interruptAfter: 50,
      interrupt: () => broker().admin('PUT', `${pathOf(topic)}/unload`),
    });
    expect(got.map(idOf)).toEqual(published.map(({ id }) => id));
    expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
  });

  it('still reports the end of the backlog, or that there is none, after the topic was unloaded', async () => {
    const topic = await newTopic();
    await publish(broker().serviceUrl, { topic, count: 10, size: 100, batching: false });
    await broker().admin('PUT', `${pathOf(topic)}/unload`);
    const drainOnce = async () => {
      const one = source({ serviceUrl: broker().serviceUrl, topic });
      const [partition] = await openPartitions(one);
      await drainPartition(partition as never);
      await one.close();
      return partition?.end;
    };
    let end = await drainOnce();
    expect(end).toMatchObject({ entryId: 9 });
    // A broker confirms an acknowledgement before it is on its disk: an unload can bring the messages back.
    for (let unloads = 0; end !== null; unloads++) {
      expect(unloads, 'unloads that brought messages back').toBeLessThan(20);
      await broker().admin('PUT', `${pathOf(topic)}/unload`);
      const backlog = await backlogOf(broker(), topic, 'backup');
      end = await drainOnce();
      expect(end === null, `the end of a backlog of ${backlog}: ${JSON.stringify(end)}`).toBe(backlog === 0);
    }
  });

  it('that deletes the topic in mid-run is reported at once, with what to do', async () => {
    const topic = await newTopic();
    await publish(broker().serviceUrl, { topic, count: 100, size: 100 });
    const [partition] = await openPartitions(source({ serviceUrl: broker().serviceUrl, topic }));
    await partition?.next(1_000);
    await broker().admin('DELETE', `${pathOf(topic)}?force=true`);
    const waited = (async () => {
      for (;;) await partition?.next(5_000);
    })();
    await expect(waited).rejects.toMatchObject({
      code: 'source',
      hint: expect.stringContaining('PULSAR_TOPIC'),
    });
  });

  it('shares six partitions between three Failover consumers: nothing is lost and nothing is given twice', async () => {
    const topic = await newTopic(6);
    await createSubscription(broker(), topic, 'backup');
    const published = await publish(broker().serviceUrl, {
      topic,
      count: 3_000,
      size: 100,
      batch_messages: 10,
    });
    const run = async () => {
      const mine = source({ serviceUrl: broker().serviceUrl, topic, subscriptionType: 'failover' });
      const partitions = await openPartitions(mine);
      const got = await Promise.all(partitions.map((partition) => drainPartition(partition)));
      await mine.close();
      return got.flat().map(idOf);
    };
    const got: string[] = [];
    // Who stood by leaves partitions to the next run, as a timer would start it.
    for (let round = 0; round < 5 && got.length < published.length; round++) {
      got.push(...(await Promise.all([run(), run(), run()])).flat());
    }
    expect(sorted(got)).toEqual(sorted(published.map(({ id }) => id)));
    expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
  });

  it.each(['shared', 'key_shared'] as const)(
    'that holds back after 5000 unacknowledged messages goes on once they are acknowledged (%s)',
    async (subscriptionType) => {
      const topic = await newTopic();
      const published = await publish(broker().serviceUrl, {
        topic,
        count: 12_000,
        size: 20,
        batch_messages: 50,
        keys: subscriptionType === 'shared' ? 100 : 0,
      });
      const [partition] = await openPartitions(
        source({ serviceUrl: broker().serviceUrl, topic, subscriptionType }),
      );
      const got: string[] = [];
      let held: { ledgerId: number; entryId: number }[] = [];
      let stops = 0;
      while (got.length < published.length || held.length > 0) {
        const delivery = await partition?.next(1_000);
        if (delivery?.kind === 'entry') {
          got.push(...delivery.messages.map(idOf));
          held.push(delivery.id);
        } else {
          expect(held.length).toBeGreaterThan(0);
          await partition?.acknowledge(held);
          held = [];
          stops++;
        }
      }
      expect(stops).toBeGreaterThan(1);
      expect(sorted(got)).toEqual(sorted(published.map(({ id }) => id)));
      expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
    },
  );

  it('that hangs is given up after two unanswered PINGs, and taken up again', async () => {
    const topic = await newTopic();
    const published = await publish(broker().serviceUrl, {
      topic,
      count: 500,
      size: 100,
      batch_messages: 10,
    });
    const [partition] = await openPartitions(
      source({ serviceUrl: broker().serviceUrl, topic }, { pingIntervalMs: 200, connectTimeoutMs: 500 }),
    );
    const got = await drainPartition(partition as never, {
      interruptAfter: 10,
      interrupt: async () => {
        await broker().freeze();
        setTimeout(() => void broker().thaw(), 2_000);
      },
    });
    expect(got.map(idOf)).toEqual(published.map(({ id }) => id));
  });

  it('does not create a topic that is not there', async () => {
    const topic = 'persistent://public/default/never-made';
    for (const serviceUrl of [broker().serviceUrl, broker().httpUrl]) {
      await expect(source({ serviceUrl, topic }).open()).rejects.toMatchObject({
        code: 'source',
        retryable: false,
      });
    }
    expect(await broker().admin('GET', 'persistent/public/default')).not.toContain(topic);
  });
});

it('a real broker that is killed and comes back with its data loses nothing, and gives nothing twice', async () => {
  const broker = await startBroker({ metadata: 'rocksdb' });
  try {
    const topic = await createTopic(broker, 'killed', 2);
    const published = await publish(broker.serviceUrl, {
      topic,
      count: 4_000,
      size: 100,
      batch_messages: 10,
    });
    const partitions = await openPartitions(
      source({ serviceUrl: broker.serviceUrl, topic }, { connectTimeoutMs: 2_000 }),
    );
    let killed: Promise<void> | undefined;
    const interrupt = async () => {
      killed ??= broker.kill9().then(() => broker.restart());
    };
    const got = await Promise.all(
      partitions.map((partition) =>
        drainPartition(partition, { interruptAfter: 60, interrupt, patienceMs: 90_000 }),
      ),
    );
    await killed;
    expect(sorted(got.flat().map(idOf))).toEqual(sorted(published.map(({ id }) => id)));
    expect(await backlogOf(broker, topic, 'backup')).toBe(0);
  } finally {
    await broker.stop();
  }
});

it('a real broker that wants tokens serves the role with a grant, and refuses the others at once', async () => {
  const broker = await startBroker({ auth: true });
  try {
    const topic = await createTopic(broker, 'secured', 2);
    await broker.admin('POST', 'namespaces/public/default/permissions/reader', ['consume']);
    for (const serviceUrl of [broker.serviceUrl, broker.httpUrl]) {
      const open = (token: string | undefined) =>
        source({ serviceUrl, topic, token: token === undefined ? undefined : new Secret(token) }).open();
      expect(await open(broker.token('reader'))).toHaveLength(2);
      for (const token of [broker.token('stranger'), 'a.wrong.token', undefined]) {
        const startedMs = Date.now();
        await expect(open(token)).rejects.toMatchObject({
          code: 'source',
          retryable: false,
          hint: expect.stringContaining('PULSAR_TOKEN'),
        });
        expect(Date.now() - startedMs).toBeLessThan(5_000);
      }
      await Promise.all(opened.splice(0).map((one) => one.close()));
    }
  } finally {
    await broker.stop();
  }
});

it('a real broker is read over TLS, pulsar+ssl:// and https://', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-tls-'));
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  execFileSync(
    'openssl',
    `req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -keyout ${key} -out ${cert}`.split(
      ' ',
    ),
    { stdio: 'pipe' },
  );
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
    const topic = await createTopic(broker, 'over-tls', 2);
    const published = await publish(broker.serviceUrl, { topic, count: 100, size: 100 });
    for (const [subscription, serviceUrl] of [
      ['by-ssl', `pulsar+ssl://127.0.0.1:${tlsPort}`],
      ['by-https', `https://127.0.0.1:${httpsPort}`],
    ] as const) {
      const partitions = await openPartitions(source({ serviceUrl, topic, subscription, tlsCaFile: cert }));
      const got = await Promise.all(partitions.map((partition) => drainPartition(partition)));
      expect(sorted(got.flat().map(idOf))).toEqual(sorted(published.map(({ id }) => id)));
      await expect(source({ serviceUrl, topic, subscription }).open()).rejects.toMatchObject({
        retryable: false,
        hint: expect.stringContaining('PULSAR_TLS_CA_FILE'),
      });
    }
  } finally {
    await broker.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
