// Where `archive copy` copies to: a folder, or a prefix of a bucket, by options or by a settings file of its own. Between
// buckets COS copies by itself, as long as it lets these keys.
import { realpath, stat, utimes } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { createFolderStore } from '../../archive/catalog/folder-store.ts';
import type { CopyTarget } from '../../archive/copy/copy-object.ts';
import { type CosConfig, parseCosConfig } from '../../config.ts';
import { type CosStore, createCosStore } from '../../cos/store.ts';
import { BackupError } from '../../errors.ts';
import { systemClock } from '../../lib/clock.ts';
import { retry } from '../../lib/retry.ts';
import type { ObjectStore } from '../../ports.ts';
import { retryingStore } from '../../retrying-store.ts';
import type { Terminal } from '../command.ts';
import { readEnvFile } from '../env-file.ts';
import { ruleEnvironment } from '../rule/environment.ts';
import { UsageError } from '../usage-error.ts';
import { quietLogger } from './bucket-location.ts';
import type { Location, LocationValues } from './opened-location.ts';

/** So many copies that failed one after the other are enough to make all others here. */
const MAX_FAILURES = 3;

/** No upload of one object takes so long: an older one is of a copy that was killed. */
const UPLOAD_AGE_MS = 3_600_000;

/** As parseArgs wants them. */
export const TARGET_OPTIONS = {
  'to-folder': { type: 'string' },
  'to-bucket': { type: 'string' },
  'to-region': { type: 'string' },
  'to-prefix': { type: 'string' },
  'to-env-file': { type: 'string' },
} as const;

export type TargetValues = { readonly [Name in keyof typeof TARGET_OPTIONS]?: string | undefined };

export interface OpenTarget extends CopyTarget {
  /** Removes what killed copies have left of objects that were stored in parts, as far as these keys may. */
  cleanUp(): Promise<void>;
  close(): Promise<void>;
}

/** Opens the target. @throws UsageError; BackupError where it is the source itself, or inside of it */
export async function openCopyTarget(
  values: TargetValues,
  source: Location & { readonly given: LocationValues },
  terminal: Terminal,
  sockets: number,
): Promise<OpenTarget> {
  const { 'to-folder': folder, 'to-bucket': bucket, 'to-region': region, 'to-prefix': prefix } = values;
  const file = values['to-env-file'];
  const isBucket = [bucket, region, prefix, file].some((one) => one !== undefined);
  if (folder !== undefined && isBucket)
    throw new UsageError('--to-folder is a place by itself: leave out the other --to options');
  if (folder !== undefined) return openFolder(folder, source);
  if (!isBucket)
    throw new UsageError(
      'say where to: --to-folder DIR, --to-bucket NAME, --to-prefix PREFIX or --to-env-file FILE',
    );
  const cos = await targetConfig({ bucket, region, prefix, file }, terminal);
  return openBucketTarget(cos, source, terminal, sockets);
}

async function openFolder(
  folder: string,
  { given }: { readonly given: LocationValues },
): Promise<OpenTarget> {
  const there = await withoutLinks(resolve(folder));
  const source = given.folder === undefined ? undefined : await realpath(given.folder);
  if (there === source) throw isSource(folder);
  if (source !== undefined && there.startsWith(join(source, sep))) throw isInside(folder);
  const store = createFolderStore(folder);
  return {
    store: () => store,
    ...{ prefix: '', name: folder },
    keepTime: (key, time) => utimes(join(folder, ...key.split('/')), time, time),
    cleanUp: async () => undefined,
    close: () => store.close(),
  };
}

/** The path without links, also of what is not there yet. @throws BackupError `config` where no folder can be there */
async function withoutLinks(path: string): Promise<string> {
  try {
    const found = await realpath(path);
    if ((await stat(found)).isDirectory()) return found;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' && dirname(path) !== path)
      return join(await withoutLinks(dirname(path)), basename(path));
    if (code !== 'ENOTDIR') throw error;
  }
  throw new BackupError('config', `${path} is no folder`, { hint: 'Name a folder, or one to be made.' });
}

/** The settings of the file, or else those of the source, with the options. */
async function targetConfig(
  { bucket, region, prefix, file }: Record<'bucket' | 'region' | 'prefix' | 'file', string | undefined>,
  terminal: Terminal,
): Promise<CosConfig> {
  const env = {
    ...(file === undefined ? terminal.env : { ...withoutCos(terminal.env), ...readEnvFile(file) }),
    ...(bucket !== undefined && { COS_BUCKET: bucket }),
    ...(region !== undefined && { COS_REGION: region }),
    ...(prefix !== undefined && { COS_PREFIX: prefix }),
  };
  return parseCosConfig(await ruleEnvironment({ ...terminal, env }), 'shell');
}

/** What a target with a file of its own does not take from the source. */
const withoutCos = (env: Terminal['env']): Terminal['env'] =>
  Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('COS_')));

function openBucketTarget(
  cos: CosConfig,
  source: Location,
  terminal: Terminal,
  maxSockets: number,
): OpenTarget {
  const { signal } = terminal;
  const name = `${cos.bucket}/${cos.prefix}`;
  const at = source.place;
  if (at !== undefined && at.bucket === cos.bucket && at.region === cos.region) {
    if (cos.prefix === source.prefix) throw isSource(name);
    // At the root of a bucket there is more than the archive, anyway.
    if (source.prefix !== '' && cos.prefix.startsWith(source.prefix)) throw isInside(name);
  }
  const logger = quietLogger();
  const stores = new Map<string, { inner: CosStore; store: ObjectStore }>();
  /** One for each storage class. */
  const open = (storageClass: string = cos.storageClass) => {
    let own = stores.get(storageClass);
    if (own === undefined) {
      const config = { ...cos, storageClass: storageClass as CosConfig['storageClass'] };
      const inner = createCosStore(config, { logger, maxSockets });
      own = { inner, store: retryingStore(inner, { clock: systemClock, logger, signal }) };
      stores.set(storageClass, own);
    }
    return own;
  };
  const from = source.place;
  let isRefused = from === undefined;
  let failures = 0;
  return {
    store: (storageClass) => open(storageClass).store,
    ...{ prefix: cos.prefix, name },
    async copyWithin(key, to, { storageClass, isReadByRuns }) {
      if (isRefused || from === undefined) return 'refused';
      const { inner } = open(storageClass);
      const copy = async () => {
        try {
          return (await inner.copyFrom({ ...from, key }, to, isReadByRuns, { signal })) ?? 'copied';
        } catch (error) {
          // These keys may not, or what answers cannot: it is not asked again.
          if (!(error instanceof BackupError) || (error.retryable && error.details['status'] !== 501))
            throw error;
          isRefused = true;
          return 'refused';
        }
      };
      try {
        const outcome = await retry(copy, { clock: systemClock, signal, attempts: 3 });
        failures = 0;
        return typeof outcome === 'string' ? outcome : 'exists';
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof BackupError)) throw error;
        isRefused = ++failures >= MAX_FAILURES;
        return 'refused';
      }
    },
    async cleanUp() {
      const { store } = open();
      try {
        for await (const { key, uploadId, ageMs } of store.listUploads(cos.prefix))
          if (ageMs > UPLOAD_AGE_MS) await store.abortUpload(key, uploadId);
      } catch (error) {
        // Nothing of it is visible, and lifecycle rules remove it too.
        if (!(error instanceof BackupError)) throw error;
      }
    },
    async close() {
      await Promise.all([...stores.values()].map(({ store }) => store.close()));
    },
  };
}

/** What is listed and verified there would be the copy, too. */
const isInside = (name: string): BackupError =>
  new BackupError('config', `${name} is inside of the archive`, { hint: 'Copy it to another place.' });

const isSource = (name: string): BackupError =>
  new BackupError('config', `${name} is the archive itself`, { hint: 'Copy it to another place.' });
