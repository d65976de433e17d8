// The clients of others as producers, and the official Java client as the reader whose word counts: programs that are
// built once and kept in the user's cache. None of our code takes part in what they publish or read.
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Broker } from '../broker/broker.ts';
import { resolveJars } from '../broker/jars.ts';
import { NEWEST } from '../broker/version.ts';
import { cachedFolder } from '../cache.ts';
import { runPython } from '../python.ts';
import { runCommand } from '../run-command.ts';
import type { EntryCase } from './cases.ts';
import { goProgram } from './go-toolchain.ts';

const here = import.meta.dirname;
const TIMEOUT_MS = 240_000;

/** A message as the official Java client reads it; what it does not have is absent. */
export interface ReadMessage {
  readonly topic: string;
  /** `ledger:entry:partition:batchIndex`, as records have it. */
  readonly id: string;
  readonly publishTimeMs: number;
  readonly eventTimeMs?: number;
  readonly key?: string;
  readonly keyBase64?: string;
  /** Base64. */
  readonly orderingKey?: string;
  readonly properties: Readonly<Record<string, string>>;
  readonly producer: string;
  readonly sequenceId: number;
  /** `null` for a null value; `base64` where it is small. */
  readonly value: { readonly sizeBytes: number; readonly sha256: string; readonly base64?: string } | null;
}

/** Creates the topics of the cases, and publishes each with the client that it names. */
export async function publishCases(
  { serviceUrl, admin }: Pick<Broker, 'serviceUrl' | 'admin'>,
  cases: readonly EntryCase[],
): Promise<void> {
  for (const { topic } of cases) await admin('PUT', topic.replace('://', '/'));
  for (const client of new Set(cases.map((one) => one.client))) {
    const input = JSON.stringify(cases.filter((one) => one.client === client));
    if (client === 'java') await runJava('publish', serviceUrl, input);
    else if (client === 'python')
      await runPython(join(here, 'python_client.py'), [serviceUrl], { input, timeoutMs: TIMEOUT_MS });
    else await runCommand(await built(client), [serviceUrl], { input, timeoutMs: TIMEOUT_MS });
  }
}

/** Publishes values of every schema type of the Go client (schemas.go), each type on a topic `go-…` of `public/default`. */
export async function publishGoSchemas(serviceUrl: string): Promise<void> {
  await runCommand(await built('go'), [serviceUrl, 'schemas'], { timeoutMs: TIMEOUT_MS });
}

/** All messages of the topics, read to their ends. Where it cannot decode something, it leaves the topic's rest. */
export async function readWithJava(serviceUrl: string, topics: readonly string[]): Promise<ReadMessage[]> {
  const text = await runJava('read', serviceUrl, JSON.stringify(topics.map((topic) => ({ topic }))));
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as ReadMessage);
}

async function runJava(mode: 'publish' | 'read', serviceUrl: string, input: string): Promise<string> {
  const args = [
    `-Dlog4j.configurationFile=${join(here, 'log4j2.properties')}`,
    '-Djava.net.preferIPv4Stack=true',
  ];
  const jars = join(await resolveJars(NEWEST, 'memory'), '*');
  args.push('-cp', jars, join(here, 'JavaClient.java'), mode, serviceUrl);
  return await runCommand('java', args, { input, timeoutMs: TIMEOUT_MS, install: 'a JDK 17' });
}

/** `go`: without cgo, so with zstd in Go; `go-cgo`: with that of C. */
async function built(client: 'go' | 'go-cgo' | 'rust'): Promise<string> {
  const from = join(here, client === 'rust' ? 'rust' : 'go');
  const names =
    client === 'rust'
      ? ['Cargo.toml', 'Cargo.lock', 'src/main.rs']
      : ['go.mod', 'go.sum', 'main.go', 'schemas.go'];
  const sources = await Promise.all(names.map((name) => readFile(join(from, name))));
  const folder = await cachedFolder(`${client}-client`, sources, async (draft) => {
    if (client === 'rust') {
      const args = ['build', '--quiet', '--locked', '--manifest-path', join(from, 'Cargo.toml')];
      const env = { ...process.env, CARGO_TARGET_DIR: draft };
      await runCommand('cargo', args, { env, timeoutMs: 1_200_000, install: 'Rust, and protoc' });
      // The program alone is of use; the rest is most of a gigabyte.
      for (const rest of ['deps', 'build', 'incremental'])
        await rm(join(draft, 'debug', rest), { recursive: true, force: true });
      return;
    }
    const env = { ...process.env, CGO_ENABLED: client === 'go' ? '0' : '1', GOTOOLCHAIN: 'local' };
    const args = ['build', '-C', from, '-o', join(draft, 'go-client'), '.'];
    await runCommand(await goProgram(), args, { env, timeoutMs: 280_000 });
  });
  return join(folder, client === 'rust' ? 'debug/rust-client' : 'go-client');
}
