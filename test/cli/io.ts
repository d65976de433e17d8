// Streams and environment for a command under test.
import { PassThrough } from 'node:stream';
import type { Io } from '../../src/cli/command.ts';

/** An Io whose output can be read as text. */
export function testIo(env: Io['env'] = {}, signal = new AbortController().signal) {
  const read = (stream: PassThrough) => {
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    return () => Buffer.concat(chunks).toString();
  };
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const io: Io = { stdin, stdout, stderr, env, signal };
  return { io, out: read(stdout), err: read(stderr) };
}
