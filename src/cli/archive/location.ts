// Where an archive is: a bucket's prefix by the rule's settings, or a folder it was copied to. And where notes about it
// are kept that may be replaced.
import { readFile, rename, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createFolderStore } from '../../archive/catalog/folder-store.ts';
import { findTopics, nothingFound } from '../../archive/catalog/nothing-found.ts';
import { BackupError, messageOf } from '../../errors.ts';
import { makeFolder } from '../../lib/make-folder.ts';
import { visibleText } from '../../lib/visible-text.ts';
import type { Notes } from '../../ports.ts';
import type { Environment } from '../../read-settings.ts';
import { parseTopicName, type TopicName } from '../../topic-name.ts';
import type { Terminal } from '../command.ts';
import { UsageError } from '../usage-error.ts';
import type { Location, LocationValues } from './opened-location.ts';

/** Options that all commands on an archive take, as parseArgs wants them. */
export const LOCATION_OPTIONS = {
  folder: { type: 'string' },
  bucket: { type: 'string' },
  region: { type: 'string' },
  prefix: { type: 'string' },
  topic: { type: 'string' },
} as const;

export const LOCATION_HELP = `  --folder DIR     a local copy of the archive, instead of the bucket of the settings
  --bucket NAME    instead of COS_BUCKET
  --region NAME    instead of COS_REGION
  --prefix PREFIX  instead of COS_PREFIX
  --topic TOPIC    one topic; by default PULSAR_TOPIC, or all where that is not set`;

const MAX_TOPICS_NAMED = 10;

/** Opens the place that options and environment name, for `parallel` reads at a time; call `close` at the end. @throws BackupError `config` */
export async function openLocation(
  values: LocationValues,
  terminal: Terminal,
  parallel = 0,
): Promise<Location> {
  const topicText = (values.topic ?? terminal.env['PULSAR_TOPIC']) || undefined;
  const topic = topicText === undefined ? undefined : parseTopicName(topicText);
  if (topicText !== undefined && topic === undefined)
    throw new UsageError(`${JSON.stringify(topicText)} is no topic: tenant/namespace/topic`);
  if (values.folder !== undefined) {
    if (values.bucket !== undefined || values.region !== undefined || values.prefix !== undefined)
      throw new UsageError('--folder names the copy of a prefix: leave out --bucket, --region and --prefix');
    const found = await stat(values.folder).catch(() => undefined);
    if (!found?.isDirectory()) {
      throw new BackupError('config', `there is no folder ${values.folder}`, {
        hint: 'Name the folder that the prefix of the archive was copied to.',
      });
    }
    return {
      store: createFolderStore(values.folder),
      prefix: '',
      topic,
      knowsMetadata: false,
      notes: folderNotes(values.folder),
      name: values.folder,
      close: async () => undefined,
    };
  }
  if (values.bucket === undefined && !terminal.env['COS_BUCKET']) {
    throw new BackupError('config', 'it is not said where the archive is', {
      hint: "Name the rule's settings with --env-file FILE, or the place with --bucket, --region and --prefix, or a copy with --folder.",
    });
  }
  // What talks to COS takes longer to load than a listing of a copy does.
  const { openBucket } = await import('./bucket-location.ts');
  return openBucket(values, topic, terminal, parallel);
}

/** The topic that is asked for, or the only one. @throws UsageError where there are several; BackupError where there is none */
export async function onlyTopic(
  { store, prefix, topic, name, knowsMetadata }: Location,
  signal: AbortSignal,
): Promise<TopicName> {
  if (topic !== undefined) return topic;
  const topics = await findTopics(store, prefix, { signal }, MAX_TOPICS_NAMED + 1);
  const [first] = topics;
  if (first === undefined) throw await nothingFound(store, prefix, { isLocal: !knowsMetadata, signal });
  if (topics.length === 1) return parseTopicName(first) as TopicName;
  const names = topics.slice(0, MAX_TOPICS_NAMED).map((one) => `\n  --topic ${visibleText(one)}`);
  const more = topics.length > MAX_TOPICS_NAMED ? '\n  and more' : '';
  throw new UsageError(`${name} holds several topics: choose one${names.join('')}${more}`);
}

function folderNotes(folder: string): Notes {
  const pathOf = (key: string) => join(folder, ...key.split('/'));
  return {
    read: async (key) => {
      try {
        return await readFile(pathOf(key), 'utf8');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw error;
      }
    },
    async write(key, text) {
      const path = pathOf(key);
      try {
        await makeFolder(dirname(path));
        await writeFile(`${path}.new`, text);
        await rename(`${path}.new`, path);
      } catch (cause) {
        throw new BackupError('config', `${path} cannot be written: ${messageOf(cause)}`, {
          hint: 'A restore keeps its progress beside the archive: take a copy in a folder that can be written.',
          cause,
        });
      }
    },
  };
}

/** The rule that a command's manifest names: `--rule`, else RULE_NAME, else `archive`. */
export function manifestRule(given: string | undefined, env: Environment): string {
  const rule = given ?? (env['RULE_NAME'] || 'archive');
  if (!/^[\w-]{2,60}$/.test(rule)) throw new UsageError('--rule must be letters, digits, - or _');
  return rule;
}

/** A whole number of an option. */
export function numberOption(name: string, text: string, min: number, max: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new UsageError(`${name} must be a whole number from ${min} to ${max}`);
}
