// The loopback COS with one bucket that fits cosConfig's settings, its objects in a folder of its own.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LoopbackCos, startLoopbackCos } from '../../src/local/cos/server.ts';

export interface Loopback {
  readonly cos: LoopbackCos;
  /** Where the bucket's objects lie as files. */
  readonly folder: string;
  end(): Promise<void>;
}

/** Starts it on a free port. */
export async function startLoopback(options: { clock?: () => number } = {}): Promise<Loopback> {
  const dir = await mkdtemp(join(tmpdir(), 'cos-'));
  const cos = await startLoopbackCos({
    ...options,
    dir,
    buckets: [{ name: 'backup-1250000000', region: 'ap-guangzhou' }],
    credentials: { secretId: 'AKIDexample', secretKey: 'very-secret-key', sessionToken: 'session-token-1' },
  });
  return {
    cos,
    folder: join(dir, 'backup-1250000000'),
    async end() {
      await cos.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
