// The official Java client with schemas (SchemaClient.java), whose word counts for what a consumer gets.
import { join } from 'node:path';
import { resolveJars } from '../broker/jars.ts';
import { NEWEST } from '../broker/version.ts';
import { runCommand } from '../run-command.ts';

const here = import.meta.dirname;
const TIMEOUT_MS = 240_000;

/** As SchemaClient.java names them; `auto` is for readers. */
export type JavaSchema =
  | 'avro'
  | 'avro-evolved'
  | 'json'
  | 'string'
  | 'bytes'
  | 'int64'
  | 'kv-separated'
  | 'kv-inline';

export interface PublishCase {
  readonly topic: string;
  readonly schema: JavaSchema;
  readonly count: number;
  /** The number of the first message. */
  readonly from?: number;
  readonly batching?: boolean;
}

export interface ReadCase {
  readonly topic: string;
  readonly schema: JavaSchema | 'auto';
}

/** A message as a consumer gets it, or why it gets none. */
export interface JavaMessage {
  readonly topic: string;
  readonly as: string;
  readonly n?: number;
  /** Base64. */
  readonly version?: string;
  readonly value?: string;
  readonly error?: string;
}

/** Publishes the cases, in order. */
export async function publishWithSchemas(serviceUrl: string, cases: readonly PublishCase[]): Promise<void> {
  await run('publish', serviceUrl, cases);
}

/** All messages of the topics, each read to its end with a schema; sorted by their numbers. */
export async function readWithSchemas(
  serviceUrl: string,
  cases: readonly ReadCase[],
): Promise<JavaMessage[]> {
  const text = await run('read', serviceUrl, cases);
  const lines = text.split('\n').filter((line) => line.startsWith('{'));
  return lines.map((line) => JSON.parse(line) as JavaMessage).sort((a, b) => (a.n ?? -1) - (b.n ?? -1));
}

async function run(mode: 'publish' | 'read', serviceUrl: string, cases: readonly object[]): Promise<string> {
  const jars = join(await resolveJars(NEWEST, 'memory'), '*');
  const args = [
    `-Dlog4j.configurationFile=${join(here, 'log4j2.properties')}`,
    ...['-Djava.net.preferIPv4Stack=true', '-cp', jars, join(here, 'SchemaClient.java'), mode, serviceUrl],
  ];
  return runCommand('java', args, {
    input: JSON.stringify(cases),
    timeoutMs: TIMEOUT_MS,
    install: 'a JDK 17',
  });
}
