// A query over tables of several topics, whose payloads have nothing in common.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { main } from '../../../src/cli/main.ts';
import { objectKey } from '../../../src/format/object-key.ts';
import { encodeRecord } from '../../../src/format/record.ts';
import { parseTopicName, type TopicName } from '../../../src/topic-name.ts';
import { message } from '../../archive/archive-fixture.ts';
import { testTerminal } from '../terminal.ts';
import { emptyArchive } from './exported.ts';

async function answer(tables: string, sql: string): Promise<unknown[]> {
  const { terminal, out, err } = testTerminal();
  const code = await main(['archive', 'query', '--tables', tables, sql, '--format', 'jsonl'], terminal);
  expect({ code, err: err() }).toEqual({ code: 0, err: '' });
  return out()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

it('has payloads of different types as JSON text, and of one type as they are', async () => {
  const archive = emptyArchive();
  const put = (name: string, payload: string) => {
    const topic = parseTopicName(`t/ns/${name}`) as TopicName;
    const one = message(-1, 0, { topic: topic.full, payload: Buffer.from(payload) });
    const path = join(archive.archive, objectKey('', topic, one, 'none'));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, encodeRecord(one));
  };
  put('one', '{"a":1,"b":{"c":0.5}}');
  put('two', '{"a":2,"b":{"c":1.5}}');
  expect((await archive.run('export', '--to', archive.tables, '--decode', 'json')).code).toBe(0);
  const sum = 'SELECT sum(payload.a)::INTEGER AS a FROM messages';
  expect(await answer(archive.tables, sum)).toEqual([{ a: 3 }]);
  put('three', '[1]');
  put('four', '{"A":"x"}');
  expect((await archive.run('export', '--to', archive.tables, '--decode', 'json')).code).toBe(0);
  const payloads = `SELECT split_part(topic, '/', 5) AS topic, payload FROM messages ORDER BY 1`;
  expect(await answer(archive.tables, payloads)).toEqual([
    { topic: 'four', payload: '{"A":"x"}' },
    { topic: 'one', payload: '{"a":1,"b":{"c":0.5}}' },
    { topic: 'three', payload: '[1]' },
    { topic: 'two', payload: '{"a":2,"b":{"c":1.5}}' },
  ]);
});
