// The bootstrap and the whole packaged function on the Node versions that SCF has, and the next one. Their binaries are
// npm packages, kept in the cache.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { beforeAll, describe, expect, test } from 'vitest';
import { decompress } from '../../src/format/compression.ts';
import { startLoopbackCos } from '../../src/local/cos/server.ts';
import { demoMessage } from '../../src/local/demo-messages.ts';
import { startInstance, startScfRuntime, timerEvent } from '../../src/local/scf-runtime.ts';
import { bundleFunction } from '../../src/packaging/bundle.ts';
import { collectFunction, writePackage } from '../../src/packaging/function-package.ts';
import { packageRoot } from '../../src/packaging/package-root.ts';
import { runtimeContract } from '../runtime-contract.ts';
import { startLoopbackBroker } from '../stand-ins/broker/broker.ts';
import { loopbackMessage } from '../stand-ins/broker/publish.ts';
import { fetchNode, NODE_VERSIONS } from './node-versions.ts';

describe.each(NODE_VERSIONS)('on Node %s, the bootstrap', (version) => {
  let nodePath: string;
  beforeAll(async () => {
    nodePath = await fetchNode(version);
  });
  runtimeContract(() => nodePath);
});

describe.each(NODE_VERSIONS)('on Node %s, the packaged function', (version) => {
  test.each(['none', 'gzip', 'zstd'] as const)(
    'drains a topic into the bucket with compression %s, then finds nothing new, and shuts down',
    async (compression) => {
      const nodePath = await fetchNode(version);
      const root = packageRoot(import.meta.url);
      const folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-test-'));
      const credentials = { secretId: 'test-id', secretKey: 'test-key', sessionToken: 'test-session' };
      const bucket = { name: 'test-1250000000', region: 'ap-guangzhou' };
      const broker = await startLoopbackBroker();
      const cos = await startLoopbackCos({ dir: join(folder, 'cos'), buckets: [bucket], credentials });
      const runtime = await startScfRuntime();
      try {
        const topic = 'public/default/orders';
        broker.createTopic(topic, 2);
        broker.publish(
          topic,
          Array.from({ length: 2_000 }, (_, index) => loopbackMessage(demoMessage(index, Date.now()))),
        );
        await bundleFunction(root, join(folder, 'function'));
        writePackage(join(folder, 'function'), collectFunction(root, join(folder, 'function')));
        const instance = startInstance({
          folder: join(folder, 'function'),
          nodePath,
          env: {
            ...runtime.env,
            SCF_FUNCTIONNAME: 'orders-backup',
            PULSAR_SERVICE_URL: broker.serviceUrl,
            PULSAR_TOPIC: topic,
            PULSAR_SUBSCRIPTION: 'backup',
            COS_BUCKET: bucket.name,
            COS_REGION: bucket.region,
            COS_ENDPOINT: cos.url,
            FILE_COMPRESSION: compression,
            TENCENTCLOUD_SECRETID: credentials.secretId,
            TENCENTCLOUD_SECRETKEY: credentials.secretKey,
            TENCENTCLOUD_SESSIONTOKEN: credentials.sessionToken,
          },
        });
        instance.ended.then(runtime.loseInstance, runtime.loseInstance);
        const invoke = async () => {
          const { kind, body } = await runtime.invoke({ event: timerEvent(), timeLimitMs: 60_000 });
          expect(kind, `${body}\n${instance.lines.join('\n')}`).toBe('response');
          return JSON.parse(body);
        };
        expect(await invoke()).toMatchObject({
          rule: 'orders-backup',
          messages: 2_000,
          objects: 2,
          stopReason: 'caught_up',
        });
        expect(await invoke()).toMatchObject({ messages: 0, objects: 0 });
        let records = '';
        for (const { key } of cos.objects().filter((object) => object.key.includes('.jsonl'))) {
          const object = Readable.from([cos.object(key)?.bytes ?? Buffer.alloc(0)]);
          records += await text(decompress(compression, object));
        }
        expect(records.split('\n')).toHaveLength(2_001);
        expect(new Set(records.split('\n')).size).toBe(2_001);
        expect(broker.subscriptionBacklog(topic, 'backup')).toBe(0);
        // Node itself warns of what old dependencies use.
        for (const line of instance.lines.filter((one) => !/^\(/.test(one))) {
          expect(JSON.parse(line)).toMatchObject({ rule: 'orders-backup', level: 'info' });
          for (const secret of Object.values(credentials)) expect(line).not.toContain(secret);
        }
        instance.child.kill('SIGTERM');
        expect(await instance.ended).toBe(0);
      } finally {
        await runtime.close();
        await broker.close();
        await cos.close();
        rmSync(folder, { recursive: true, force: true });
      }
    },
  );
});
