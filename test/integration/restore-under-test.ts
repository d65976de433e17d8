// `tdmq-backup archive restore` as a person runs it, in a process that can be killed; an archive to restore, and what
// has to be in the new topic when all is done.
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { expect } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { packageRoot } from '../../src/packaging/package-root.ts';
import { testTerminal } from '../cli/terminal.ts';
import { readStoredMessages, type StoredMessage } from '../contract/stored-messages.ts';
import type { LoopbackStage } from '../stage/loopback-stage.ts';
import { TOPIC } from '../stage/loopback-stage.ts';

export interface CommandRun {
  /** Code and output; the code is `null` where it was killed. */
  readonly outcome: Promise<{ code: number | null; out: string; err: string }>;
  kill9(): void;
}

/** Starts the built command. */
export function startCommand(args: readonly string[], env: Readonly<Record<string, string>>): CommandRun {
  const program = join(packageRoot(import.meta.url), 'dist/cli/tdmq-backup.js');
  const child = spawn(process.execPath, [program, ...args], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const texts = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    texts.out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    texts.err += text;
  });
  const outcome = new Promise<{ code: number | null; out: string; err: string }>((resolve) =>
    child.on('close', (code) => resolve({ code, ...texts })),
  );
  return { outcome, kill9: () => void child.kill('SIGKILL') };
}

/** What makes a message itself, whichever topic it is in. */
const contentOf = (message: StoredMessage) => {
  const { payload } = message;
  return JSON.stringify([
    message.key instanceof Buffer ? { base64: message.key.toString('base64') } : message.key,
    message.orderingKey?.toString('base64'),
    message.properties.filter(([name]) => !name.startsWith('tdmq-backup-')),
    message.eventTimeMs,
    payload && (payload.length < 1_000 ? payload.toString('base64') : sha256(payload)),
  ]);
};

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('base64');

const oldIdOf = ({ properties }: StoredMessage) => Object.fromEntries(properties)['tdmq-backup-id'] as string;

/** The messages of a topic by their partitions. */
export async function storedByPartition(
  rule: LoopbackStage,
  topic: string,
  partitions: number,
): Promise<StoredMessage[][]> {
  const names = Array.from({ length: partitions }, (_, n) => `persistent://${topic}-partition-${n}`);
  return Promise.all(names.map((name) => readStoredMessages(rule.broker, name)));
}

/** Publishes messages of several sizes and kinds to the backed-up topic, and backs them up by a run. */
export async function fillAndBackUp(rule: LoopbackStage, count: number, largeBytes: number): Promise<void> {
  const messages = Array.from({ length: count }, (_, i) => ({
    payload: i % 11 === 0 ? null : Buffer.from(`message ${i} `.repeat(1 + (i % 7))),
    ...(i % 3 === 0 ? {} : { key: i % 4 === 0 ? Buffer.from([0xff, i % 9]) : `key-${i % 9}` }),
    properties: { n: String(i) },
  }));
  rule.broker.publish(TOPIC, messages, { batchSize: 7 });
  if (largeBytes > 0) {
    for (const partition of [0, 1]) {
      const large = { payload: randomBytes(largeBytes), key: 'large' };
      const options = { chunkSizeBytes: 90_000 };
      rule.broker.publish(`${TOPIC}-partition-${partition}`, [large, { payload: 'after it' }], options);
    }
  }
  const { terminal, err } = testTerminal({ ...rule.env, FILE_MAX_MESSAGES: '90' });
  expect(await main(['run'], terminal), err()).toBe(0);
}

/** Every message of the backed-up topic is in the new one, with all its fields; answers how many stand twice. */
export function expectNothingLost(
  published: readonly (readonly StoredMessage[])[],
  restored: readonly (readonly StoredMessage[])[],
): number {
  const first = new Map<string, StoredMessage>();
  const repeated: string[] = [];
  for (const message of restored.flat()) {
    const before = first.get(oldIdOf(message));
    if (before === undefined) first.set(oldIdOf(message), message);
    else {
      repeated.push(oldIdOf(message));
      expect(contentOf(message)).toBe(contentOf(before));
    }
  }
  expect([...first.values()].map(contentOf).toSorted()).toEqual(published.flat().map(contentOf).toSorted());
  return repeated.length;
}

/** In each new partition, the messages of an old one come in their old order, but for repetitions. */
export function expectInOrder(restored: readonly (readonly StoredMessage[])[]): void {
  for (const messages of restored) {
    const seen = new Set<string>();
    const last = new Map<string, number>();
    for (const message of messages) {
      const id = oldIdOf(message);
      if (seen.has(id)) continue;
      seen.add(id);
      const [ledger = 0, entry = 0, partition = 0, batchIndex = 0] = id.split(':').map(Number);
      const place = ledger * 1e12 + entry * 1e5 + batchIndex;
      expect(place, id).toBeGreaterThan(last.get(String(partition)) ?? -1);
      last.set(String(partition), place);
    }
  }
}
