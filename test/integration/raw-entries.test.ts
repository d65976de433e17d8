// What the function cannot decode, on a real broker: encrypted by the official Python client, kept raw, published again
// for the official consumer that has the key, and decrypted by `archive recover`.
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { decodeMetadata, encodeEntry } from '../../src/local/broker/frames.ts';
import { testTerminal } from '../cli/terminal.ts';
import { connectPublisher } from '../contract/broker-publisher.ts';
import { createSubscription, createTopic } from './broker/topics.ts';
import { consume, type PublishedMessage, publish } from './python-clients.ts';
import { useBroker } from './use-broker.ts';
import { ruleEnv, useCos } from './use-cos.ts';

const broker = useBroker();
const cos = useCos();

let keys: string;
const pem = (name: string) => join(keys, name);
beforeAll(() => {
  keys = mkdtempSync(join(tmpdir(), 'tdmq-backup-keys-'));
  for (const name of ['own', 'other']) {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 });
    writeFileSync(pem(`${name}-public.pem`), publicKey.export({ type: 'spki', format: 'pem' }));
    writeFileSync(pem(`${name}.pem`), privateKey.export({ type: 'pkcs8', format: 'pem' }));
  }
});
afterAll(() => rmSync(keys, { recursive: true, force: true }));

async function run(env: Record<string, string>, args: readonly string[], code = 0): Promise<string> {
  const { terminal, out, err } = testTerminal(env);
  expect(await main(args, terminal), out() + err()).toBe(code);
  return out();
}

const contentOf = ({ key, orderingKey, eventTimeMs, properties, sha256 }: PublishedMessage) => ({
  ...{ key, orderingKey, eventTimeMs, sha256, properties },
});

describe('messages that their producer encrypted', () => {
  it('are kept raw, published again as they were, and recovered with the private key', async () => {
    const topic = await createTopic(broker(), 'encrypted', 1);
    await createSubscription(broker(), topic, 'backup');
    const published: PublishedMessage[] = [];
    const public_key = pem('own-public.pem');
    for (const spec of [
      { count: 5 },
      { count: 30, batch_messages: 10, compression: 'ZSTD' as const, public_key },
      { count: 3, batching: false, compression: 'ZLib' as const, public_key },
      { count: 1, size: 6_000_000, chunking: true, public_key },
      { count: 5 },
    ]) {
      const first_sequence_id = published.length + 1;
      published.push(...(await publish(broker().serviceUrl, { ...spec, topic, first_sequence_id })));
    }
    const env = ruleEnv(cos(), broker().serviceUrl, topic);
    await run(env, ['run']);
    expect(JSON.parse(await run(env, ['archive', 'ls', '--json'])).totals).toMatchObject({
      ...{ messages: 10, recovered: 0 },
    });

    const again = await createTopic(broker(), 'encrypted-again', 1);
    await createSubscription(broker(), again, 'keeper');
    const restored = JSON.parse(
      await run(env, ['archive', 'restore', '--to', again, '--include-unreadable', '--json']),
    );
    expect(restored).toMatchObject({ messages: 10, refused: [], rawLeftOut: 0 });
    const consumed = await consume(broker().serviceUrl, { topic: again, private_key: pem('own.pem') });
    const isRaw = ({ properties }: PublishedMessage) => properties['tdmq-backup-id'] === undefined;
    const own = (messages: readonly object[]) => (messages as PublishedMessage[]).map(contentOf);
    expect(own(consumed.filter((one) => isRaw(one as never)))).toEqual(own(published.slice(5, -5)));
    expect(consumed.map(({ sha256 }) => sha256)).toEqual(published.map(({ sha256 }) => sha256));

    await run(env, ['archive', 'recover'], 1);
    const wrong = await run(env, ['archive', 'recover', '--private-key', pem('other.pem')], 1);
    expect(wrong).toContain('is the private key of none of them');
    const key = ['--private-key', pem('own.pem')];
    expect(await run(env, ['archive', 'recover', ...key])).toContain(', 0 left');
    expect(await run(env, ['archive', 'recover', ...key])).toContain('0 of ');
    const records = (await run(env, ['archive', 'cat']))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    // The Python client reports the id of a chunked message by its first chunk.
    expect(records.map(({ sequenceId }) => sequenceId)).toEqual(
      published.map(({ sequenceId }) => sequenceId),
    );
    expect(records.map(({ key: one, properties }) => [one, properties])).toEqual(
      published.map(({ key: one, properties }) => [one, properties]),
    );
    const report = JSON.parse(await run(env, ['archive', 'verify', '--json']));
    expect(report).toMatchObject({ messages: published.length, damagedObjects: 0, duplicates: 0 });
    expect(report.unreadable).toBe(report.recovered);
  });
});

describe('entries of a codec that nobody here knows, and chunks of a message that is not complete', () => {
  it('are published again byte for byte, but for who published them', async () => {
    const topic = await createTopic(broker(), 'unknown-codec', 1);
    await createSubscription(broker(), topic, 'backup');
    const metadata = {
      ...{ producerName: 'first-life', sequenceId: 7, publishTime: Date.now() - 1_000, compression: 9 },
      ...{ uncompressedSize: 100, partitionKey: 'k', properties: [{ key: 'a', value: 'b' }] },
    };
    const chunk = (chunkId: number) => ({ uuid: 'u', chunkId, numChunksFromMsg: 3, totalChunkMsgSize: 30 });
    const entries = [
      encodeEntry(metadata, Buffer.from('of tomorrow')),
      encodeEntry({ ...metadata, compression: 0, ...chunk(0) }, Buffer.from('0123456789')),
      encodeEntry({ ...metadata, compression: 0, ...chunk(2) }, Buffer.from('0123456789')),
    ];
    const publisher = await connectPublisher(broker().serviceUrl, undefined);
    const sent = entries.map((bytes, i) => ({ bytes, messages: 1, isChunk: i > 0 }));
    await publisher.publish(`${topic}-partition-0`, sent);
    await publisher.close();
    const env = ruleEnv(cos(), broker().serviceUrl, topic);
    await run(env, ['run']);

    const again = await createTopic(broker(), 'unknown-codec-again', 1);
    await createSubscription(broker(), again, 'backup');
    const restored = await run(env, ['archive', 'restore', '--to', again, '--include-unreadable', '--json']);
    expect(JSON.parse(restored)).toMatchObject({ messages: 0, rawEntries: 2, refused: [] });
    const other = ruleEnv(cos(), broker().serviceUrl, again, { COS_PREFIX: 'again/' });
    await run(other, ['run']);
    const kept = cos()
      .objects()
      .filter(({ key }) => key.startsWith('again/_unreadable/') && key.endsWith('.bin'))
      .map(({ key }) => cos().object(key)?.bytes as Buffer);
    expect(kept.map((bytes) => bytes.length)).toHaveLength(2);
    const ownOf = (bytes: Buffer) => {
      const { producerName: _name, sequenceId: _id, ...own } = decodeMetadata(bytes);
      return own;
    };
    expect(ownOf(kept[0] as Buffer)).toEqual(ownOf(entries[0] as Buffer));
    expect(kept[0]?.subarray(-11).toString()).toBe('of tomorrow');
    expect(ownOf(kept[1] as Buffer)).toEqual(ownOf(entries[1] as Buffer));
    expect(kept[1]?.toString('latin1').match(/0123456789/g)).toHaveLength(2);
  });
});
