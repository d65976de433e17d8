// `tdmq-backup archive restore` over the stand-ins: backed up by a real run, restored, and read from the new topic by
// another rule's run.
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { main } from '../../../src/cli/main.ts';
import { decodeMetadata, isChecksumRight } from '../../../src/local/broker/frames.ts';
import { type LoopbackStage, startLoopbackStage, TOPIC } from '../../stage/loopback-stage.ts';
import { testTerminal } from '../terminal.ts';

const TARGET = 'public/default/replay';
const COUNT = 60;
let rule: LoopbackStage;

// A COS call whose connection goes silent is repeated after 20 seconds.

beforeEach(async () => {
  rule = await startLoopbackStage();
  rule.broker.publish(
    TOPIC,
    Array.from({ length: COUNT }, (_, i) => ({ payload: `message ${i}`, key: `key-${i % 4}` })),
  );
  expect(await main(['run'], testTerminal({ ...rule.env, FILE_MAX_MESSAGES: '10' }).terminal)).toBe(0);
  rule.broker.createTopic(TARGET, 2);
  rule.broker.createSubscription(TARGET, 'backup');
});
afterEach(() => rule.close());

async function restore(args: readonly string[], signal?: AbortSignal, env: Record<string, string> = {}) {
  const { terminal, out, err } = testTerminal({ ...rule.env, ...env }, signal);
  const code = await main(['archive', 'restore', '--to', TARGET, ...args], terminal);
  return { code, out: out(), err: err() };
}

/** What is in the new topic, by the archive that another rule makes of it: value and properties. */
async function restored(): Promise<{ value: string; properties: Record<string, string>; topic: string }[]> {
  const env = { ...rule.env, PULSAR_TOPIC: TARGET, COS_PREFIX: 'replay/' };
  expect(await main(['run'], testTerminal(env).terminal)).toBe(0);
  const { terminal, out } = testTerminal(env);
  expect(await main(['archive', 'cat'], terminal)).toBe(0);
  return out()
    .trimEnd()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

const values = async () => (await restored()).map(({ value }) => value).toSorted();
const all = Array.from({ length: COUNT }, (_, i) => `message ${i}`).toSorted();

test('publishes everything once, with the old ids, and says what it did', async () => {
  const { code, out, err } = await restore([]);
  expect(code, err).toBe(0);
  expect(out).toMatch(/✓ Published 60 messages, .* to persistent:\/\/public\/default\/replay\n$/);
  expect(out).toMatch(/partition +messages +payloads/);
  const records = await restored();
  expect(records.map(({ value }) => value).toSorted()).toEqual(all);
  for (const { properties, topic } of records) {
    expect(properties['tdmq-backup-id']).toMatch(/^\d+:\d+:[01]:/);
    expect(topic).toMatch(new RegExp(`-partition-${properties['tdmq-backup-id']?.split(':')[2]}$`));
  }
});

test('publishes by the wire driver where the rule backs up by the native one', async () => {
  const { terminal, out, err } = testTerminal({ ...rule.env, PULSAR_DRIVER: 'native' });
  expect(await main(['archive', 'restore', '--to', TARGET], terminal), err()).toBe(0);
  expect(out()).toMatch(/✓ Published 60 messages/);
});

test('a dry run publishes nothing, and leaves nothing beside the archive', async () => {
  const { code, out } = await restore(['--dry-run', '--key', 'key-1']);
  expect(code).toBe(0);
  expect(out).toContain('Would publish 15 messages');
  expect(rule.cos.objects().filter(({ key }) => key.includes('_restores'))).toEqual([]);
  expect(rule.broker.subscriptionBacklog(TARGET, 'backup')).toBe(0);
});

/** Puts entries that nobody here can decode between messages of partition 0, and has them kept raw. */
async function keepRaw() {
  const partition = `${TOPIC}-partition-0`;
  const metadata = {
    ...{ producerName: 'first-life', sequenceId: 5, publishTime: Date.UTC(2026, 1, 3), compression: 9 },
    ...{
      uncompressedSize: 99,
      partitionKey: 'k',
      properties: [{ key: 'a', value: 'b' }],
      replicatedFrom: 'east',
    },
    ...{ highestSequenceId: 9, txnidLeastBits: 1, txnidMostBits: 2, schemaVersion: Buffer.from('v') },
  };
  const own = [
    rule.broker.appendEntry(partition, metadata, Buffer.from('codec of tomorrow')),
    rule.broker.appendEntry(partition, metadata, Buffer.from('damaged')),
  ];
  rule.broker.corruptEntry(partition, own[1] as never);
  rule.broker.publish(partition, [{ payload: 'after' }]);
  expect(await main(['run'], testTerminal(rule.env).terminal)).toBe(0);
  return metadata;
}

/** The raw entries that a rule over the new topic keeps. */
async function keptAgain() {
  await restored();
  return rule.cos
    .objects()
    .map(({ key }) => key)
    .filter((key) => key.startsWith('replay/_unreadable/') && key.endsWith('.bin'))
    .map((key) => rule.cos.object(key)?.bytes as Buffer);
}

test('raw entries are left out, and counted', async () => {
  await keepRaw();
  const { code, out } = await restore([]);
  expect(code).toBe(0);
  expect(out).toContain('2 raw entries under _unreadable/ left out');
  expect(await keptAgain()).toEqual([]);
  const { out: json } = await restore(['--again', '--json', '--partition', '1']);
  expect(JSON.parse(json)).toMatchObject({ rawLeftOut: 0, rawEntries: 0 });
});

test('--include-unreadable publishes raw entries as they are, in their location; what no broker takes is reported', async () => {
  const metadata = await keepRaw();
  const { code, out } = await restore(['--include-unreadable']);
  expect(code).toBe(1);
  expect(out).toContain('1 raw entries besides, as they are');
  expect(out).toMatch(/✗ .*\.bin\n {4}not published: its checksum/);
  const kept = await keptAgain();
  expect(kept).toHaveLength(1);
  const { producerName, sequenceId, ...own } = decodeMetadata(kept[0] as Buffer);
  const { producerName: _p, sequenceId: _s, highestSequenceId: _h, replicatedFrom: _r, ...rest } = metadata;
  const { txnidLeastBits: _l, txnidMostBits: _m, ...taken } = rest;
  expect(own).toEqual(taken);
  expect(producerName).toMatch(/^tdmq-restore-/);
  expect(Number(sequenceId)).toBeGreaterThan(0);
  expect(isChecksumRight(kept[0] as Buffer)).toBe(true);
  expect(kept[0]?.subarray(-17).toString()).toBe('codec of tomorrow');
  expect((await restore(['--include-unreadable'])).err).toContain('this restore was done');
});

test('--include-unreadable takes no filter that raw entries cannot be held against', async () => {
  expect((await restore(['--include-unreadable', '--key', 'k'])).code).toBe(2);
});

test('stopped by Ctrl-C, the same command goes on and publishes nothing twice', async () => {
  const interrupt = new AbortController();
  let sends = 0;
  const unhook = rule.broker.onCommand((name) => {
    if (name === 'send' && ++sends === 9) interrupt.abort(new Error('Ctrl-C'));
    return undefined;
  });
  const first = await restore(['--no-batching', '--rate', '500'], interrupt.signal);
  unhook();
  expect(first.code).toBe(130);
  const second = await restore(['--no-batching', '--rate', '500', '--json']);
  expect(second.code, second.err).toBe(0);
  const { messages, skipped } = JSON.parse(second.out);
  expect(messages + skipped).toBe(COUNT);
  expect(skipped).toBeGreaterThan(0);
  expect(await values()).toEqual(all);
});

test('two processes that restore the same publish it once: one waits for the other, and finds it done', async () => {
  const both = await Promise.all([restore(['--rate', '60']), restore(['--rate', '60'])]);
  expect(both.map(({ code }) => code).toSorted(), both.map(({ err }) => err).join('')).toEqual([0, 3]);
  expect(await values()).toEqual(all);
});

test('called again while it is under way, it goes on from where the first one was stopped', async () => {
  const interrupt = new AbortController();
  let second: ReturnType<typeof restore> | undefined;
  let sends = 0;
  const unhook = rule.broker.onCommand((name) => {
    if (name !== 'send') return undefined;
    sends++;
    if (sends === 5) second = restore(['--no-batching', '--rate', '500']);
    if (sends === 20) interrupt.abort(new Error('Ctrl-C'));
    return undefined;
  });
  expect((await restore(['--no-batching', '--rate', '100'], interrupt.signal)).code).toBe(130);
  const { code, err } = (await second) as Awaited<NonNullable<typeof second>>;
  unhook();
  expect([code, err]).toEqual([0, expect.stringContaining('Going on with')]);
  expect(await values()).toEqual(all);
});

test('one that lost its connections while another went on in its place publishes nothing more', async () => {
  const path = await startCutPath(new URL(rule.broker.serviceUrl).port);
  rule.broker.faults.proxiesThroughServiceUrl = true;
  let sends = 0;
  const unhook = rule.broker.onCommand((name) => {
    if (name === 'send' && ++sends === 20) path.cut();
    return undefined;
  });
  try {
    const { terminal, err } = testTerminal({ ...rule.env, PULSAR_SERVICE_URL: path.serviceUrl });
    const first = main(['archive', 'restore', '--to', TARGET, '--no-batching', '--rate', '200'], terminal);
    await vi.waitUntil(() => sends >= 20, { interval: 5, timeout: 20_000 });
    const second = await restore(['--no-batching'], undefined, {
      PULSAR_SERVICE_URL: rule.broker.serviceUrl,
    });
    expect(second.code, second.err).toBe(0);
    const sendsThen = sends;
    path.mend();
    expect(await first).toBe(1);
    expect(err()).toContain('another process has gone on with this restore');
    expect(sends).toBe(sendsThen);
    rule.broker.faults.proxiesThroughServiceUrl = false;
    expect([...new Set(await values())]).toEqual(all);
  } finally {
    unhook();
    await path.close();
  }
});

/** The way of one process to the broker, which can be cut and mended. */
async function startCutPath(port: string) {
  let isCut = false;
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    if (isCut) {
      near.destroy();
      return;
    }
    const far = connect(Number(port), '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('error', () => to.destroy()).on('close', () => to.destroy());
      from.pipe(to);
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => {
    isCut = true;
    for (const socket of sockets) socket.destroy();
  };
  return {
    serviceUrl: `pulsar://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut,
    mend: () => {
      isCut = false;
    },
    close: async () => {
      cut();
      server.close();
      await once(server, 'close');
    },
  };
}

test('what was stored since a restore began is no part of it', async () => {
  const interrupt = new AbortController();
  const unhook = rule.broker.onCommand((name) => {
    if (name === 'send') interrupt.abort(new Error('Ctrl-C'));
    return undefined;
  });
  expect((await restore(['--no-batching'], interrupt.signal)).code).toBe(130);
  unhook();
  rule.broker.publish(TOPIC, [{ payload: 'later' }]);
  expect(await main(['run'], testTerminal(rule.env).terminal)).toBe(0);
  expect((await restore(['--no-batching'])).code).toBe(0);
  expect(await values()).toEqual(all);
});

test('a restore that was done is refused, until told to do it again', async () => {
  expect((await restore([])).code).toBe(0);
  const second = await restore([]);
  expect(second.code).toBe(3);
  expect(second.err).toContain('--again');
  expect(JSON.parse((await restore(['--json'])).out)).toMatchObject({ isDone: true, messages: 0 });
  expect((await restore(['--dry-run'])).code).toBe(3);
  expect((await restore(['--again'])).code).toBe(0);
  expect(await values()).toEqual([...all, ...all].toSorted());
});

test('the topic that was backed up is refused, and so is one of its partitions, until told', async () => {
  for (const to of [TOPIC, `${TOPIC}-partition-1`]) {
    const { terminal, err } = testTerminal(rule.env);
    expect(await main(['archive', 'restore', '--to', to], terminal)).toBe(1);
    expect(err()).toContain('--into-same-topic');
  }
  const { terminal, out } = testTerminal(rule.env);
  expect(await main(['archive', 'restore', '--to', TOPIC, '--into-same-topic'], terminal)).toBe(0);
  expect(out()).toContain('Published 60 messages');
});

test('a local copy is restored without a bucket or its keys, and keeps its progress in the copy', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-copy-'));
  try {
    for (const { key } of rule.cos.objects()) {
      const path = join(folder, key.replace('tdmq/', ''));
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, rule.cos.object(key)?.bytes as Buffer);
    }
    const { terminal, out, err } = testTerminal({ PULSAR_SERVICE_URL: rule.broker.serviceUrl });
    expect(await main(['archive', 'restore', '--folder', folder, '--to', TARGET], terminal), err()).toBe(0);
    expect(out()).toContain('Published 60 messages');
    expect(readdirSync(join(folder, '_restores'))).toHaveLength(2);
    expect(await values()).toEqual(all);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('says what it restores, from where to where, and when it goes on', async () => {
  const interrupt = new AbortController();
  const unhook = rule.broker.onCommand((name) => {
    if (name === 'send') interrupt.abort(new Error('Ctrl-C'));
    return undefined;
  });
  const first = await restore(['--no-batching'], interrupt.signal);
  unhook();
  expect(first.err).toContain(
    'Restoring test-1250000000/tdmq/: persistent://public/default/orders (2 partitions) to persistent://public/default/replay (2 partitions)\n',
  );
  expect(first.err).toContain('The same command continues');
  expect((await restore(['--no-batching'])).err).toContain('Going on with test-1250000000/tdmq/');
});

test('a topic that has got more partitions since is not gone on with', async () => {
  const interrupt = new AbortController();
  const unhook = rule.broker.onCommand((name) => {
    if (name === 'send') interrupt.abort(new Error('Ctrl-C'));
    return undefined;
  });
  expect((await restore(['--no-batching'], interrupt.signal)).code).toBe(130);
  unhook();
  rule.broker.createTopic(TARGET, 3);
  const second = await restore(['--no-batching'], undefined, { PULSAR_SERVICE_URL: rule.broker.serviceUrl });
  expect(second.code).toBe(1);
  expect(second.err).toContain('has 3 partitions, and had 2 when this restore was begun');
  expect(second.err).toContain('--again');
});

test('wrong options are wrong usage', async () => {
  for (const args of [
    ['--route', 'random'],
    ['--rate', '0'],
    ['--compression', 'rar'],
    ['--driver', 'native'],
  ])
    expect((await restore(args)).code, args.join(' ')).toBe(2);
  expect(await main(['archive', 'restore'], testTerminal(rule.env).terminal)).toBe(2);
});
