// A transaction of the official Java client, run from the broker's own jars, that stays open until it is ended.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { resolveJars } from './broker/jars.ts';
import { NEWEST } from './broker/version.ts';

const OPENS_WITHIN_MS = 60_000;

export interface OpenTransaction {
  commit(): Promise<void>;
  abort(): Promise<void>;
}

/** Publishes `count` messages in a transaction, or acknowledges the last `count` of a subscription, and leaves it open. */
export async function openTransaction(
  serviceUrl: string,
  work: { produce: string; count: number } | { acknowledge: string; subscription: string; count: number },
): Promise<OpenTransaction> {
  const jars = await resolveJars(NEWEST, 'memory');
  const args =
    'produce' in work
      ? ['produce', work.produce, String(work.count)]
      : ['ack', work.acknowledge, work.subscription, String(work.count)];
  const script = resolve(import.meta.dirname, 'Transactions.java');
  const child = spawn(
    'java',
    ['-XX:TieredStopAtLevel=1', '-Xmx256m', '-cp', join(jars, '*'), script, serviceUrl, ...args],
    { stdio: ['pipe', 'pipe', 'ignore'] },
  );
  const ended = once(child, 'exit');
  const timer = setTimeout(() => child.kill(), OPENS_WITHIN_MS);
  const printed: string[] = [];
  let isOpen = false;
  for await (const line of createInterface({ input: child.stdout })) {
    printed.push(line);
    if (line !== 'open') continue;
    isOpen = true;
    break;
  }
  clearTimeout(timer);
  if (!isOpen) throw new Error(`no transaction was opened:\n${printed.slice(-20).join('\n')}`);
  const end = async (how: string) => {
    child.stdin.end(`${how}\n`);
    await ended;
  };
  return { commit: () => end('commit'), abort: () => end('abort') };
}
