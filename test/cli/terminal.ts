// Streams and environment for a command under test. Whatever a test does, no secret may come out of the streams.
import { PassThrough } from 'node:stream';
import { expect } from 'vitest';
import type { Terminal } from '../../src/cli/command.ts';
import { afterThisTest } from '../after-each.ts';

const SECRET_NAME = /TOKEN|SECRET/;

/** An Terminal whose output can be read as text. */
export function testTerminal(
  env: Terminal['env'] = {},
  signal = new AbortController().signal,
  more: Partial<Terminal> = {},
) {
  const read = (stream: PassThrough) => {
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    return () => Buffer.concat(chunks).toString();
  };
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const terminal: Terminal = { stdin, stdout, stderr, env, signal, ...more };
  const [out, err] = [read(stdout), read(stderr)];
  const secrets = Object.entries(env).flatMap(([name, value]) =>
    SECRET_NAME.test(name) && value !== undefined && value.length >= 6 ? [value] : [],
  );
  afterThisTest(() => {
    for (const secret of secrets) expect(out() + err()).not.toContain(secret);
  });
  return { terminal, out, err };
}
