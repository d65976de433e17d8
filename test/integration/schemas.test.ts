// Schemas on real brokers: kept by a run, registered by a restore, and read by the official Java client from what was
// restored as from what was published. Run `npm run build` first.
import { readFileSync } from 'node:fs';
import { describe, expect, it, vi } from 'vitest';
import { main } from '../../src/cli/main.ts';
import type { LoopbackCos } from '../../src/local/cos/server.ts';
import { testTerminal } from '../cli/terminal.ts';
import { createSubscription, createTopic } from './broker/topics.ts';
import type { PulsarVersion } from './broker/version.ts';
import {
  type JavaMessage,
  type JavaSchema,
  publishWithSchemas,
  readWithSchemas,
} from './foreign/schema-client.ts';
import { invoke } from './invoke.ts';
import { useBroker } from './use-broker.ts';
import { BUCKET, prefixOf, ruleEnv, useCos } from './use-cos.ts';

vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

const VERSIONS: readonly PulsarVersion[] = ['2.9.1', '3.0.0', '4.0.7'];
const STRATEGIES = [
  'ALWAYS_COMPATIBLE',
  'BACKWARD',
  'FORWARD',
  'FULL',
  'BACKWARD_TRANSITIVE',
  'FORWARD_TRANSITIVE',
  'FULL_TRANSITIVE',
];

const stored = (cos: LoopbackCos, topic: string) =>
  cos.objects(BUCKET).filter(({ key }) => key.startsWith(prefixOf(topic)));

describe.each(VERSIONS)('a real broker %s', (version) => {
  const broker = useBroker({ version });
  const cos = useCos();

  /** A topic with messages of these schemas, one after the other, and its backup. */
  async function backedUp(name: string, partitions: number, ...schemas: JavaSchema[]) {
    const topic = await createTopic(broker(), name, partitions);
    await createSubscription(broker(), topic, 'backup');
    await backUp(topic, ...schemas);
    return topic;
  }

  async function backUp(topic: string, ...schemas: JavaSchema[]) {
    const cases = schemas.map((schema, i) => ({
      topic,
      schema,
      count: 10,
      from: 10 * i,
      batching: i % 2 === 0,
    }));
    await publishWithSchemas(broker().serviceUrl, cases);
    await drained(topic, 10 * schemas.length);
  }

  async function drained(topic: string, messages: number) {
    const { summary, output } = await invoke({ env: ruleEnv(cos(), broker().serviceUrl, topic) });
    expect(summary, output).toMatchObject({ messages, stopReason: 'caught_up' });
    expect(output).not.toContain('schema not kept');
  }

  async function restore(topic: string, target: string, ...more: string[]) {
    const { terminal, out, err } = testTerminal(ruleEnv(cos(), broker().serviceUrl, topic));
    const exitCode = await main(['archive', 'restore', '--to', target, '--json', ...more], terminal);
    return { exitCode, report: exitCode === 0 ? JSON.parse(out()) : undefined, err: err() + out() };
  }

  /** What a consumer gets, whichever topic it is from. */
  const contentOf = (messages: readonly JavaMessage[]) =>
    messages.map(({ topic: _, version: __, ...rest }) => rest);

  interface Pair {
    readonly topic: string;
    readonly target: string;
    readonly readers: readonly (JavaSchema | 'auto')[];
  }

  /** Holds what consumers get of each pair of topics, with each of its schemas, against each other. */
  async function expectSame(...pairs: Pair[]) {
    const cases = new Map(
      pairs.flatMap(({ topic, target, readers }) =>
        [topic, target].flatMap((name) =>
          readers.map((schema) => [`${name} ${schema}`, { topic: name, schema }] as const),
        ),
      ),
    );
    const all = await readWithSchemas(broker().serviceUrl, [...cases.values()]);
    for (const { topic, target, readers } of pairs)
      for (const schema of readers) {
        const of = (name: string) => all.filter((one) => one.topic === name && one.as === schema);
        expect(contentOf(of(target)), `${target} as ${schema}`).toEqual(contentOf(of(topic)));
        expect(of(target).filter(({ error, value }) => error !== undefined || value === undefined)).toEqual(
          [],
        );
        expect(of(target).length).toBeGreaterThan(0);
      }
  }

  async function messagesIn(topic: string): Promise<number> {
    const path = topic.replace('://', '/');
    return (await broker().admin<{ msgInCounter: number }>('GET', `${path}/stats`)).msgInCounter;
  }

  it('has its schemas kept, named by manifests, and listed', async () => {
    const topic = await backedUp('kept', 2, 'avro', 'avro-evolved', 'bytes');
    const objects = stored(cos(), topic);
    const schemas = objects.filter(({ key }) => key.includes('/_schemas/'));
    expect(schemas.map(({ key }) => key.split('/_schemas/')[1])).toEqual([
      'public/default/kept/0.json',
      'public/default/kept/1.json',
    ]);
    const { terminal, out } = testTerminal(ruleEnv(cos(), broker().serviceUrl, topic));
    expect(await main(['archive', 'verify', '--json'], terminal)).toBe(0);
    expect(JSON.parse(out())).toMatchObject({ schemas: { kept: 2, missing: 0 }, findings: [] });
    // A second run asks, and stores nothing anew.
    await publishWithSchemas(broker().serviceUrl, [{ topic, schema: 'avro', count: 3 }]);
    const { output } = await invoke({ env: ruleEnv(cos(), broker().serviceUrl, topic) });
    expect(output).not.toContain('schema stored');
    expect(output).not.toContain('schemasMissing');
  });

  it('gives typed consumers all that was restored, AUTO_CONSUME too, and with another schema version', async () => {
    const topic = await backedUp('typed', 2, 'avro', 'avro-evolved');
    const target = await createTopic(broker(), 'typed-again', 2);
    const { exitCode, report, err } = await restore(topic, target);
    expect(exitCode, err).toBe(0);
    expect(report).toMatchObject({ messages: 20, withoutSchema: 0 });
    await expectSame({ topic, target, readers: ['avro-evolved', 'avro', 'auto'] });
  });

  it('gives consumers of pairs, JSON and primitive types all that was restored', async () => {
    const pairs: Pair[] = [];
    for (const schema of ['kv-separated', 'kv-inline', 'json', 'string', 'int64'] as const) {
      const topic = await createTopic(broker(), `of-${schema}`);
      await createSubscription(broker(), topic, 'backup');
      const target = await createTopic(broker(), `of-${schema}-again`);
      pairs.push({ topic, target, readers: [schema, 'auto'] });
    }
    const cases = pairs.map(({ topic, readers: [schema] }) => ({
      ...{ topic, schema: schema as JavaSchema },
      ...{ count: 10, from: 0, batching: true },
    }));
    await publishWithSchemas(broker().serviceUrl, cases);
    for (const { topic, target } of pairs) {
      await drained(topic, 10);
      const { exitCode, err } = await restore(topic, target);
      expect(exitCode, `${target}: ${err}`).toBe(0);
    }
    await expectSame(...pairs);
  });

  it('takes what is restored where schemas are enforced, with each compatibility strategy', async () => {
    const topic = await backedUp('enforced', 2, 'avro', 'avro-evolved');
    const pairs: Pair[] = [];
    for (const strategy of STRATEGIES) {
      const namespace = `public/${strategy.toLowerCase().replaceAll('_', '-')}`;
      await broker().admin('PUT', `namespaces/${namespace}`, {});
      await broker().admin('PUT', `namespaces/${namespace}/schemaCompatibilityStrategy`, strategy);
      await broker().admin('POST', `namespaces/${namespace}/schemaValidationEnforced`, true);
      await broker().admin('PUT', `persistent/${namespace}/again/partitions`, 2);
      const target = `persistent://${namespace}/again`;
      const { exitCode, err } = await restore(topic, target);
      expect(exitCode, `${strategy}: ${err}`).toBe(0);
      pairs.push({ topic, target, readers: ['avro-evolved', 'avro', 'auto'] });
    }
    await expectSame(...pairs);
  });

  it('keeps what messages mean apart where the topic was deleted and made anew with other schemas', async () => {
    const topic = await backedUp('anew', 0, 'avro');
    await broker().admin('DELETE', 'persistent/public/default/anew?force=true');
    await createTopic(broker(), 'anew');
    await createSubscription(broker(), topic, 'backup');
    await backUp(topic, 'avro-evolved');
    const schemas = stored(cos(), topic).filter(({ key }) => key.includes('/_schemas/'));
    expect(schemas).toHaveLength(2);
    const target = await createTopic(broker(), 'anew-again');
    const { exitCode, report, err } = await restore(topic, target);
    expect(exitCode, err).toBe(0);
    expect(report).toMatchObject({ messages: 20, withoutSchema: 0 });
    const read = await readWithSchemas(broker().serviceUrl, [{ topic: target, schema: 'avro-evolved' }]);
    const values = (price: (n: number) => string) =>
      Array.from({ length: 10 }, (_, n) => `{id=${n}, name=order ${n}, price=${price(n)}}`);
    const wanted = [...values(() => 'null'), ...values((n) => (n % 2 === 0 ? '9007199254740993' : 'null'))];
    expect(read.map(({ value }) => value).sort()).toEqual(wanted.sort());
  });

  it.each([
    ['schemaCompatibilityStrategy', 'PUT', 'ALWAYS_INCOMPATIBLE', 'schema 1 of'],
    ['isAllowAutoUpdateSchema', 'POST', false, 'schema 0 of'],
  ])(
    'publishes nothing where the target refuses a schema by %s, and says why',
    async (policy, method, value, which) => {
      const name = `refused-${policy.toLowerCase()}`;
      const topic = await backedUp(name, 0, 'avro', 'avro-evolved');
      const namespace = `public/${name}`;
      await broker().admin('PUT', `namespaces/${namespace}`, {});
      await broker().admin(method, `namespaces/${namespace}/${policy}`, value);
      await broker().admin('PUT', `persistent/${namespace}/again`);
      const target = `persistent://${namespace}/again`;
      const { exitCode, err } = await restore(topic, target);
      expect(exitCode).toBe(1);
      expect(err).toContain(which);
      expect(err).toMatch(/refused: IncompatibleSchema/);
      expect(err).toContain('--schemas none');
      expect(await messagesIn(target)).toBe(0);
      const without = await restore(topic, target, '--schemas', 'none');
      expect(without.exitCode, without.err).toBe(0);
      expect(without.report).toMatchObject({ messages: 20, withoutSchema: 0 });
    },
  );

  it('goes round: backed up, deleted, restored and backed up again, records say the same', async () => {
    const topic = await backedUp('round', 2, 'avro', 'avro-evolved', 'bytes');
    const before = recordsIn(cos(), prefixOf(topic));
    await broker().admin('DELETE', 'persistent/public/default/round/partitions?force=true');
    await createTopic(broker(), 'round', 2);
    await createSubscription(broker(), topic, 'backup');
    const { exitCode, err } = await restore(topic, topic, '--into-same-topic');
    expect(exitCode, err).toBe(0);
    const env = { ...ruleEnv(cos(), broker().serviceUrl, topic), COS_PREFIX: 'again/' };
    const { summary, output } = await invoke({ env });
    expect(summary, output).toMatchObject({ messages: 30 });
    const after = recordsIn(cos(), 'again/');
    expect(after.map(({ said }) => said)).toEqual(before.map(({ said }) => said));
    // Versions are those of the topic as it is now; what they mean is the same.
    expect(after.map(({ definition }) => definition)).toEqual(before.map(({ definition }) => definition));
    expect(after.filter(({ definition }) => definition !== undefined)).toHaveLength(20);
  });
});

/** What the records say that a restore keeps, and the definitions of their schemas; by partition, in order. */
function recordsIn(cos: LoopbackCos, prefix: string) {
  const objects = cos.objects(BUCKET).filter(({ key }) => key.startsWith(prefix));
  const textOf = ({ file }: { file: string | undefined }) => readFileSync(file as string, 'utf8');
  const schemas = new Map(
    objects
      .filter(({ key }) => key.includes('/_schemas/'))
      .map((object) => JSON.parse(textOf(object)) as { versionBase64: string; definition: string })
      .map(({ versionBase64, definition }) => [versionBase64, definition]),
  );
  return objects
    .filter(({ key }) => key.endsWith('.jsonl'))
    .flatMap((object) => textOf(object).trimEnd().split('\n'))
    .map((line) => {
      const { id, topic, properties, schemaVersion, key, value, valueBase64 } = JSON.parse(line);
      const own = Object.entries(properties as object).filter(([name]) => !name.startsWith('tdmq-backup-'));
      return {
        id,
        said: JSON.stringify([topic, own, key, value, valueBase64, schemaVersion === '']),
        definition: schemas.get(schemaVersion),
      };
    })
    .sort((a, b) => compareTexts(a.said, b.said));
}

const compareTexts = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
