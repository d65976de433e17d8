// The broker's jars, resolved by Maven once and kept in the user's cache.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cachedFolder } from '../cache.ts';
import { runCommand } from '../run-command.ts';
import { hasZooKeeper, NEWEST, type PulsarVersion } from './version.ts';

const here = import.meta.dirname;

/** The folder that holds the jars; `rocksdb` adds what keeps a broker's data over a restart (58 MiB). */
export async function resolveJars(version: PulsarVersion, metadata: 'memory' | 'rocksdb'): Promise<string> {
  const pomFile = join(here, version === NEWEST ? 'pom.xml' : 'pom-old.xml');
  const storage = hasZooKeeper(version) ? 'memory' : metadata;
  const name = version === NEWEST ? `broker-jars-${storage}` : `broker-jars-${version}-${storage}`;
  return await cachedFolder(name, [await readFile(pomFile)], async (folder) => {
    const args = ['-B', '-q', '-gs', join(here, 'maven-settings.xml'), '-f', pomFile];
    if (storage === 'rocksdb') args.push('-Procksdb');
    args.push('dependency:copy-dependencies', `-Dpulsar.version=${version}`, `-Dpulsar.lib=${folder}`);
    await runCommand('mvn', args, { timeoutMs: 280_000, install: 'a JDK 17 and Maven' });
  });
}
