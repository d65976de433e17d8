// Other versions of Node to run the product on: their binaries are npm packages, kept in the cache.
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cachedFolder } from './cache.ts';
import { runCommand } from './run-command.ts';

/** SCF's Nodejs18.15 and Nodejs20.19, and the LTS after them. */
export const NODE_VERSIONS = ['18.15.0', '20.19.0', '22.23.3'];

/** The program of that Node, fetched once. The package holds nothing but Node: it has no scripts. */
export async function fetchNode(version: string): Promise<string> {
  const name = `node-${process.platform}-${process.arch}@${version}`;
  const folder = await cachedFolder(`node-${version}`, [name], async (draft) => {
    const timeoutMs = 200_000;
    await runCommand('npm', ['pack', name, '--silent', '--pack-destination', draft], { timeoutMs });
    const [archive = ''] = await readdir(draft);
    await runCommand('tar', ['-xzf', join(draft, archive), '-C', draft], { timeoutMs });
    await rm(join(draft, archive));
  });
  return join(folder, 'package/bin/node');
}
