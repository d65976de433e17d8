// The bucket's prefix of a rule as the place of an archive. Loaded only where an archive is not a local copy.
import { parseCosConfig } from '../../config.ts';
import { createCosStore } from '../../cos/store.ts';
import { readWhole } from '../../format/stored-object.ts';
import { systemClock } from '../../lib/clock.ts';
import { retry } from '../../lib/retry.ts';
import type { Logger, ObjectStore } from '../../ports.ts';
import { retryingStore } from '../../retrying-store.ts';
import type { TopicName } from '../../topic-name.ts';
import type { Terminal } from '../command.ts';
import { ruleEnvironment } from '../rule/environment.ts';
import type { Location, LocationValues } from './opened-location.ts';

const MIN_SOCKETS = 16;

/** Opens the prefix that options and environment name, for `parallel` reads at a time. @throws BackupError `config` */
export async function openBucket(
  values: LocationValues,
  topic: TopicName | undefined,
  terminal: Terminal,
  parallel: number,
): Promise<Location> {
  const env = {
    ...terminal.env,
    ...(values.bucket === undefined ? {} : { COS_BUCKET: values.bucket }),
    ...(values.region === undefined ? {} : { COS_REGION: values.region }),
    ...(values.prefix === undefined ? {} : { COS_PREFIX: values.prefix }),
  };
  const cos = parseCosConfig(await ruleEnvironment({ ...terminal, env }), 'shell');
  const logger = quietLogger();
  const inner = createCosStore(cos, { logger, maxSockets: Math.max(MIN_SOCKETS, parallel) });
  const store = retryingStore(inner, { clock: systemClock, logger, signal: terminal.signal });
  return {
    store,
    prefix: cos.prefix,
    topic,
    knowsMetadata: true,
    notes: {
      read: (key) => readText(store, `${cos.prefix}${key}`),
      write: (key, text) => {
        const body = { chunks: [Buffer.from(text)], sizeBytes: Buffer.byteLength(text) };
        const attributes = { metadata: {}, contentType: 'application/json', isReadByRuns: true };
        const put = () => inner.admin.putReplaceable(`${cos.prefix}${key}`, body, attributes);
        return retry(put, { clock: systemClock });
      },
    },
    thaw: (key, request) =>
      retry(() => inner.admin.thaw(key, request, { signal: terminal.signal }), { clock: systemClock }),
    name: `${cos.bucket}/${cos.prefix}`,
    place: { bucket: cos.bucket, region: cos.region },
    close: () => store.close(),
  };
}

/** Warnings of the adapters would be in the middle of an output; failures are thrown anyway. */
export const quietLogger = (): Logger => ({
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
});

async function readText(store: ObjectStore, key: string): Promise<string | undefined> {
  if ((await store.head(key)) === undefined) return undefined;
  return (await readWhole(store, key, {})).toString('utf8');
}
