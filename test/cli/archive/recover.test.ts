// `tdmq-backup archive recover`, and what the other commands report of raw entries: over a bucket, and a local copy.
import { randomBytes } from 'node:crypto';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLocation } from '../../../src/cli/archive/location.ts';
import { main } from '../../../src/cli/main.ts';
import { handleInvocation, REAL_PARTS } from '../../../src/handler.ts';
import { crc64 } from '../../../src/lib/crc64.ts';
import { encodeEntry } from '../../../src/local/broker/frames.ts';
import { createLogger } from '../../../src/logger.ts';
import { type LoopbackStage, TOPIC as RULE_TOPIC, startLoopbackStage } from '../../stage/loopback-stage.ts';
import { testTerminal } from '../terminal.ts';

const OLD = fileURLToPath(new URL('../../fixtures/golden/unreadable-v1', import.meta.url));
const RAW = '_unreadable/t/ns/orders/partition=0/';
const TOPIC = ['--topic', 't/ns/orders'];

let rule: LoopbackStage;
let folder: string;
beforeEach(async () => {
  rule = await startLoopbackStage();
  folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-raw-'));
  cpSync(OLD, folder, { recursive: true });
  const location = await openLocation({}, testTerminal(rule.env).terminal);
  for (const path of files(folder)) {
    const bytes = readFileSync(path);
    const attributes = { metadata: { rule: 'orders-backup' }, contentType: 'application/octet-stream' };
    const key = `${location.prefix}${relative(folder, path)}`;
    await location.store.create(
      key,
      { chunks: [bytes], sizeBytes: bytes.length },
      crc64([bytes]),
      attributes,
    );
  }
  await location.close();
});
afterEach(async () => {
  await rule.close();
  rmSync(folder, { recursive: true, force: true });
});

const files = (root: string): string[] =>
  readdirSync(root, { recursive: true, withFileTypes: true, encoding: 'utf8' })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

async function archive(location: Location, args: readonly string[], expectedCode = 0): Promise<string> {
  const { terminal, out, err } = testTerminal(location === 'bucket' ? rule.env : {});
  const where = location === 'bucket' ? TOPIC : ['--folder', folder];
  expect(await main(['archive', ...args, ...where], terminal), out() + err()).toBe(expectedCode);
  return out();
}

type Location = 'bucket' | 'copy';

describe.each(['bucket', 'copy'] as const)('raw entries in a %s', (location) => {
  it('are reported by ls and verify, recovered, and reported as recovered', async () => {
    expect(await archive(location, ['ls'])).toContain(
      '4 entries are kept raw under _unreadable/, not decoded: archive recover tries again',
    );
    const verified = await archive(location, ['verify']);
    expect(verified).toContain(`${RAW}000000000007-0000000002.bin`);
    expect(verified).toContain('4 entries are kept raw');
    await archive(location, ['verify', '--strict'], 1);

    const dry = JSON.parse(await archive(location, ['recover', '--dry-run', '--json'], 1));
    expect(dry).toMatchObject({ isDryRun: true, raw: 4, recovered: 3, remaining: 1, manifests: [] });
    const text = await archive(location, ['recover'], 1);
    expect(text).toContain('3 messages in ');
    expect(text).toMatch(/0000000012\.bin\n {4}its checksum \(CRC-32C\) does not match/);
    expect(text).toContain('3 of 4 raw entries recovered, 0 already recovered, 1 left');
    expect(await archive(location, ['recover'], 1)).toContain(
      '0 of 4 raw entries recovered, 3 already recovered, 1 left',
    );

    expect((await archive(location, ['cat', '--format', 'value'])).split('\n').slice(0, 3)).toEqual([
      ...['hello', 'a', 'b'],
    ]);
    const { totals, unreadable } = JSON.parse(await archive(location, ['ls', '--json']));
    expect(totals).toMatchObject({ objects: 3, messages: 5, unreadable: 4, recovered: 3 });
    expect(unreadable).toMatchObject([
      { id: '7:2:0:-1', isRecovered: true },
      { id: '7:3:0:-1', isRecovered: true },
      { id: '7:8:0:-1', isRecovered: true },
      { id: '7:12:0:-1', isRecovered: false },
    ]);
    expect(await archive(location, ['verify'])).toContain('3 recovered, 1 not decoded');
  });
});

describe('recover', () => {
  it('makes the exit code 0 when nothing is left', async () => {
    rmSync(join(folder, `${RAW}000000000007-0000000012.bin`));
    expect(await archive('copy', ['recover'])).toContain('3 of 3 raw entries recovered');
    expect(await archive('copy', ['recover'])).toContain('0 of 3 raw entries recovered, 3 already');
    expect(await archive('copy', ['ls'])).toContain(
      '3 entries are kept raw under _unreadable/, all recovered',
    );
  });

  it('stores objects of several parts in a folder too, and leaves no parts', async () => {
    const metadata = { producerName: 'p', sequenceId: 1, publishTime: Date.UTC(2026, 10, 23) };
    const entry = encodeEntry(metadata, Buffer.alloc(20_000_000, 'large '));
    writeFileSync(join(folder, `${RAW}000000000007-0000000020.bin`), entry);
    await archive('copy', ['recover', '--compression', 'none'], 1);
    const last = JSON.parse((await archive('copy', ['cat', '--from-id', '7:20:0:-1'])).trimEnd());
    expect(last.value).toHaveLength(20_000_000);
    expect(files(folder).filter((path) => path.includes('partial'))).toEqual([]);
    await archive('copy', ['verify']);
  });

  it('puts a message together that was too large for the memory of the function', async () => {
    const payload = randomBytes(7_000_000);
    const topic = `${RULE_TOPIC}-partition-0`;
    rule.broker.publish(topic, [{ payload }, { payload: 'after it' }], { chunkSizeBytes: 1_000_000 });
    const { TENCENTCLOUD_SECRET_ID: id, TENCENTCLOUD_SECRET_KEY: key, ...env } = rule.env;
    const lines: Record<string, unknown>[] = [];
    const summary = await handleInvocation(
      { ...env, TENCENTCLOUD_SECRETID: id, TENCENTCLOUD_SECRETKEY: key },
      { memory_limit_in_mb: 128, time_limit_in_ms: 60_000 },
      {
        ...REAL_PARTS,
        createLogger: (options) =>
          createLogger({ ...options, destination: { write: (line) => void lines.push(JSON.parse(line)) } }),
      },
    );
    expect(summary).toMatchObject({ messages: 1, unreadable: 7, backlog: { entries: 0 } });
    expect(lines.find(({ message }) => message === 'entry unreadable')).toMatchObject({
      reason: expect.stringContaining('more than the limit of 6291456'),
      hint: expect.stringContaining('Give the function 256 MB of memory'),
    });
    const command = async (...args: string[]) => {
      const { terminal, out, err } = testTerminal(rule.env);
      expect(await main(['archive', ...args], terminal), out() + err()).toBe(0);
      return out();
    };
    expect(await command('recover')).toContain('7 of 7 raw entries recovered');
    const records = (await command('cat'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(records).toHaveLength(2);
    expect(Buffer.from(records[0].valueBase64, 'base64').equals(payload)).toBe(true);
    expect(records[1].value).toBe('after it');
    expect(await command('verify')).toContain('7 entries are kept raw under _unreadable/, all recovered');
  });

  it('fails where there is nothing', async () => {
    rmSync(join(folder, '_unreadable'), { recursive: true });
    expect(await archive('copy', ['recover'], 1)).toBe('');
  });

  it.each(['recover', 'verify', 'index'])(
    '%s calls no folder whole that only holds the archive',
    async (command) => {
      const { terminal, err } = testTerminal({});
      const above = mkdtempSync(join(tmpdir(), 'tdmq-backup-above-'));
      cpSync(folder, join(above, 'copy'), { recursive: true });
      expect(await main(['archive', command, '--folder', above], terminal)).toBe(1);
      expect(err()).toContain('nothing found');
      expect(err()).toContain('Did you mean the folder copy/ in it');
      rmSync(above, { recursive: true });
    },
  );

  it('refuses what is no private key, before anything is read', async () => {
    const file = join(folder, 'key.pem');
    writeFileSync(file, 'no key');
    const { terminal, err } = testTerminal({});
    expect(await main(['archive', 'recover', '--folder', folder, '--private-key', file], terminal)).toBe(1);
    expect(err()).toContain('is no private key');
  });
});
