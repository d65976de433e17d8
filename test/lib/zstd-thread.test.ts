import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { ZSTDDecoder } from 'zstddec/stream';
import { compressedRoomBytes, type InMemory, ZstdThread } from '../../src/lib/zstd-thread.ts';

const real = new URL('../../src/lib/zstd-worker.mjs', import.meta.url);
const fixture = (name: string) => new URL(`../fixtures/threads/${name}.mjs`, import.meta.url);

function inMemory(bytes: Uint8Array): InMemory {
  const memory = new ArrayBuffer(compressedRoomBytes(bytes.length));
  new Uint8Array(memory).set(bytes);
  return { memory, sizeBytes: bytes.length };
}

const bytesOf = ({ memory, sizeBytes }: InMemory) => Buffer.from(memory, 0, sizeBytes);

async function withThread<T>(use: (thread: ZstdThread) => Promise<T>): Promise<T> {
  const thread = new ZstdThread(real);
  try {
    return await use(thread);
  } finally {
    await thread.end();
  }
}

it('compresses to frames that others read, takes the memory over and gives it back', async () => {
  await withThread(async (thread) => {
    const whole = Buffer.from('many times the same '.repeat(5_000));
    const { memory, sizeBytes } = inMemory(whole);
    const roomBytes = memory.byteLength;
    const compressing = thread.compress({ memory, sizeBytes }, 3);
    expect(memory.byteLength).toBe(0);
    const done = await compressing;
    expect(done.memory.byteLength).toBe(roomBytes);
    expect(done.sizeBytes).toBeLessThan(whole.length / 100);
    const decoder = new ZSTDDecoder();
    await decoder.init();
    expect(Buffer.from(decoder.decode(bytesOf(done), whole.length)).equals(whole)).toBe(true);
    expect(Buffer.from(await thread.decompress(bytesOf(done), whole.length)).equals(whole)).toBe(true);
  });
});

it('answers many jobs in order, also those whose bytes do not compress', async () => {
  await withThread(async (thread) => {
    const all = Array.from({ length: 30 }, (_, n) => randomBytes(n * 9_000 + 1));
    const frames = await Promise.all(all.map((bytes) => thread.compress(inMemory(bytes), 3)));
    for (const [n, bytes] of all.entries()) {
      const frame = bytesOf(frames[n] as InMemory);
      expect(Buffer.from(await thread.decompress(frame, bytes.length)).equals(bytes)).toBe(true);
    }
  });
});

it('says what is wrong with a damaged frame, and goes on', async () => {
  await withThread(async (thread) => {
    const frame = bytesOf(await thread.compress(inMemory(randomBytes(1_000)), 3));
    await expect(thread.decompress(frame.subarray(0, 500), 1_000)).rejects.toThrow(/./);
    expect(await thread.decompress(frame, 1_000)).toHaveLength(1_000);
  });
});

it('keeps working when it was ended: at once, while something is under way, and over again', async () => {
  await withThread(async (thread) => {
    await thread.end();
    for (let round = 0; round < 3; round++) {
      const compressing = thread.compress(inMemory(Buffer.from('abc')), 3);
      await thread.end();
      const frame = bytesOf(await compressing);
      await thread.end();
      expect(Buffer.from(await thread.decompress(frame, 3)).toString()).toBe('abc');
    }
  });
});

it('keeps no process alive when nobody waits for it, also where nobody ends it', async () => {
  const thread = new URL('../../src/lib/zstd-thread.ts', import.meta.url);
  const script = `const { ZstdThread } = await import(${JSON.stringify(thread.href)});
    const thread = new ZstdThread(new URL(${JSON.stringify(real.href)}));
    const done = await thread.compress({ memory: new ArrayBuffer(1_000), sizeBytes: 500 }, 3);
    process.stdout.write(String(done.sizeBytes > 0));`;
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 45_000,
  });
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  expect({ output, code }).toEqual({ output: 'true', code: 0 });
});

describe('a thread that dies', () => {
  it.each([
    ['exits', /ended with code 7/],
    ['out-of-memory', /memory/],
    ['does-not-load', /no-such-library/],
  ])('(%s) fails whoever waits for it, with a hint, and hangs nobody', async (name, reason) => {
    const thread = new ZstdThread(fixture(name));
    const jobs = [1, 2].map(() => thread.compress(inMemory(Buffer.alloc(10)), 3));
    for (const end of await Promise.allSettled(jobs)) {
      expect(end).toMatchObject({
        status: 'rejected',
        reason: {
          code: 'store',
          message: expect.stringMatching(reason),
          hint: expect.stringMatching(/memory/),
        },
      });
    }
    await thread.end();
  });

  it('is followed by another at the next job', async () => {
    const thread = new ZstdThread(fixture('exits'));
    await expect(thread.compress(inMemory(Buffer.alloc(1)), 3)).rejects.toThrow(/code 7/);
    await expect(thread.compress(inMemory(Buffer.alloc(1)), 3)).rejects.toThrow(/code 7/);
  });
});
