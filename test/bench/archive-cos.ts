// The stand-in of COS that benchmarks of the archive read from, in a process of its own, and the settings that lead there.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { packageRoot } from '../../src/packaging/package-root.ts';

export const BUCKET = 'bench-1250000000';
const REGION = 'ap-guangzhou';

export interface BenchCos {
  readonly url: string;
  /** How many requests it has had. */
  requests(): Promise<number>;
  stop(): Promise<void>;
}

/** Settings of a rule whose bucket is there. */
export const cosEnvironment = (url: string): Record<string, string> => ({
  COS_BUCKET: BUCKET,
  COS_REGION: REGION,
  COS_ENDPOINT: url,
  TENCENTCLOUD_SECRETID: 'AKIDloopback',
  TENCENTCLOUD_SECRETKEY: 'loopback',
});

/** Starts it over `{folder}/objects`, with what is there already. */
export async function startBenchCos(folder: string): Promise<BenchCos> {
  const root = packageRoot(import.meta.url);
  const main = join(root, 'test/stand-ins/cos/main.ts');
  const args = ['--dir', join(folder, 'objects'), '--bucket', BUCKET, '--region', REGION, '--no-md5'];
  const child = spawn(process.execPath, ['--import', 'tsx', main, ...args, '--until-stdin-ends'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    cwd: root,
  });
  for await (const line of createInterface(child.stdout)) {
    const { url, controlUrl } = JSON.parse(line) as { url: string; controlUrl: string };
    return {
      url,
      async requests() {
        const { requests } = (await (await fetch(`${controlUrl}/counts`)).json()) as { requests: number };
        return requests;
      },
      async stop() {
        const ended = once(child, 'exit');
        child.stdin.end();
        await ended;
      },
    };
  }
  throw new Error('the loopback COS did not start');
}
