// The broker's jars, resolved by Maven once and kept in the user's cache.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cachedFolder } from '../cache.ts';
import { runCommand } from '../run-command.ts';

const here = import.meta.dirname;

/** The folder that holds the jars; `rocksdb` adds what keeps a broker's data over a restart (58 MiB). */
export async function resolveJars(metadata: 'memory' | 'rocksdb'): Promise<string> {
  const pom = await readFile(join(here, 'pom.xml'));
  return await cachedFolder(`broker-jars-${metadata}`, [pom], async (folder) => {
    const args = ['-B', '-q', '-gs', join(here, 'maven-settings.xml'), '-f', join(here, 'pom.xml')];
    if (metadata === 'rocksdb') args.push('-Procksdb');
    args.push('dependency:copy-dependencies', `-Dpulsar.lib=${folder}`);
    await runCommand('mvn', args, { timeoutMs: 280_000, install: 'a JDK 17 and Maven' });
  });
}
