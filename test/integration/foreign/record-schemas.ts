// Records test/fixtures/schemas anew: values of every schema type as the official Java and Python clients encode them,
// with the schema that the broker has of their version, and what the Java client reads of them. `npm run corpus` runs it;
// it needs JDK 17, Maven, Python and protoc.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { startBroker } from '../broker/broker.ts';
import { resolveJars } from '../broker/jars.ts';
import { NEWEST } from '../broker/version.ts';
import { runPython } from '../python.ts';
import { runCommand } from '../run-command.ts';

const here = import.meta.dirname;
const FOLDER = join(here, '../../fixtures/schemas');
const TIMEOUT_MS = 240_000;

const jars = join(await resolveJars(NEWEST, 'memory'), '*');
const classes = await mkdtemp(join(tmpdir(), 'java-schemas-'));
await runCommand('protoc', ['-I', here, `--java_out=${classes}`, 'shop.proto'], {
  timeoutMs: TIMEOUT_MS,
  install: 'protoc 3',
});
const sources = [join(classes, 'shop', 'Shop.java'), join(here, 'JavaSchemas.java')];
await runCommand('javac', ['-nowarn', '-cp', jars, '-d', classes, ...sources], {
  timeoutMs: TIMEOUT_MS,
  install: 'a JDK 17',
});

/** What the program prints, one line for each message. */
async function runJava(serviceUrl: string, topics: readonly string[]): Promise<string> {
  const args = [
    `-Dlog4j.configurationFile=${join(here, 'log4j2.properties')}`,
    '-Djava.net.preferIPv4Stack=true',
  ];
  args.push('-cp', `${classes}:${jars}`, 'JavaSchemas', serviceUrl, ...topics);
  return await runCommand('java', args, { timeoutMs: TIMEOUT_MS });
}

const broker = await startBroker({ extraConf: { allowAutoTopicCreation: 'true' } });
try {
  // Evolution in every direction.
  await broker.admin('PUT', 'namespaces/public/default/schemaCompatibilityStrategy', 'ALWAYS_COMPATIBLE');
  await mkdir(FOLDER, { recursive: true });
  const keep = async (name: string, lines: string) => {
    console.log(name, `${lines.trimEnd().split('\n').length} messages`);
    await writeFile(join(FOLDER, `${name}.jsonl.gz`), gzipSync(lines, { level: 9 }));
  };
  await keep('java', await runJava(broker.serviceUrl, []));
  const topics = await runPython(join(here, 'python_schemas.py'), [broker.serviceUrl], {
    timeoutMs: TIMEOUT_MS,
  });
  await keep('python', await runJava(broker.serviceUrl, topics.trim().split('\n')));
} finally {
  await broker.stop();
  await rm(classes, { recursive: true, force: true });
}
