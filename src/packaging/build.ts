// `npm run build`: bundles the function and the CLI into dist/ and prints their sizes.
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { bundleCli, bundleFunction } from './bundle.ts';
import { packageRoot } from './package-root.ts';

const root = packageRoot(import.meta.url);
await Promise.all([
  bundleFunction(root, join(root, 'dist/function')),
  bundleCli(root, join(root, 'dist/cli')),
]);
for (const file of ['dist/function/function.js', 'dist/function/function.cache', 'dist/cli/tdmq-backup.js']) {
  const sizeKiB = Math.ceil(statSync(join(root, file)).size / 1024);
  process.stdout.write(`${file}  ${sizeKiB} KiB\n`);
}
