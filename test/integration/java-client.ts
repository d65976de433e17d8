// The official Java client, from the broker's own jars, as another user of a subscription: transactions, and single
// messages of batches.
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { resolveJars } from './broker/jars.ts';
import { NEWEST } from './broker/version.ts';

/** A client that lives until `close`. */
export interface JavaClient {
  /** Runs one command of OtherClient.java. @throws Error with what went wrong */
  run(...words: readonly (string | number)[]): Promise<void>;
  close(): void;
}

/** Starts the client; its first command waits for it. */
export async function startJavaClient(serviceUrl: string): Promise<JavaClient> {
  const jars = await resolveJars(NEWEST, 'memory');
  const source = join(import.meta.dirname, 'broker', 'OtherClient.java');
  const child: ChildProcess = spawn(
    'java',
    ['-Xmx256m', '-XX:TieredStopAtLevel=1', '-cp', join(jars, '*'), source, serviceUrl],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  const answers = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  return {
    async run(...words) {
      child.stdin?.write(`${words.join(' ')}\n`);
      // The client logs to standard output too.
      for (;;) {
        const { value, done } = await answers.next();
        if (done) throw new Error(`the Java client ended at: ${words.join(' ')}`);
        if (value === 'ok') return;
        if (value.startsWith('failed: ')) throw new Error(`${words.join(' ')}: ${value}`);
      }
    },
    close() {
      child.kill('SIGKILL');
    },
  };
}
