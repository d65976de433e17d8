// The stored objects of one rule: which folders are its own, how many objects are there, and their removal. Refuses
// folders that another rule of the region stores in too.
import { createCosStore } from '../cos/store.ts';
import { BackupError, messageOf } from '../errors.ts';
import { isArchiveClass } from '../format/contents.ts';
import { schemaFolder } from '../format/kept-schema.ts';
import { topicFolder } from '../format/object-key.ts';
import { retry } from '../lib/retry.ts';
import type { CallOptions, Logger } from '../ports.ts';
import { parseTopicName } from '../topic-name.ts';
import type { BucketAccess } from './bucket-lookup.ts';
import type { Cloud } from './cloud.ts';
import { checkSettings, listRules, type Rule } from './rule.ts';

/** The objects that a rule has stored. */
export interface RuleObjects {
  readonly bucket: string;
  readonly prefix: string;
  /** Keys of the rule begin with one of these; each ends with `/`. */
  readonly folders: readonly string[];
  count(): Promise<number>;
  /**
   * Removes all there are, and answers how many. For a rule that is deleted already.
   * @throws BackupError `store`: says how many were removed before the failure, and how many remain
   */
  removeAll(): Promise<number>;
  close(): Promise<void>;
}

const AT_ONCE = 8;
const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/**
 * Opens the rule's objects with a person's keys; call `close` at the end.
 * @throws BackupError `config` for settings that are wrong, `rule` where another rule stores in the same folders
 */
export async function openRuleObjects(cloud: Cloud, rule: Rule, access: BucketAccess): Promise<RuleObjects> {
  const { cos } = checkSettings(rule.environment, rule.functionName, rule.region);
  const folders = foldersOf(rule);
  await refuseShared(cloud, rule, folders);
  const { credentials, endpoint = cos.endpoint, signal } = access;
  const store = createCosStore({ ...cos, credentials, endpoint }, { logger: silent });
  const again = { clock: cloud.clock, signal };
  const call: CallOptions = { signal };

  const listAll = () =>
    retry(async () => {
      const keys: string[] = [];
      for (const folder of folders) for await (const { key } of store.list(folder, call)) keys.push(key);
      return keys;
    }, again).catch((error: unknown) => {
      throw withPolicy(error);
    });

  return {
    bucket: cos.bucket,
    prefix: cos.prefix,
    folders,
    count: async () => (await listAll()).length,
    async removeAll() {
      let keys: readonly string[] | undefined;
      let removed = 0;
      const remove = async (key: string) => {
        await retry(() => store.admin.remove(key, call), again);
        removed++;
      };
      try {
        // Listed anew: a run may have stored more since they were counted.
        keys = await listAll();
        for (let from = 0; from < keys.length; from += AT_ONCE) {
          const results = await Promise.allSettled(keys.slice(from, from + AT_ONCE).map(remove));
          const failure = results.find((one) => one.status === 'rejected');
          if (failure !== undefined) throw failure.reason;
        }
        return removed;
      } catch (error) {
        throw stopped(withPolicy(error), rule, { removed, total: keys?.length, bucket: cos.bucket, folders });
      }
    },
    close: () => store.close(),
  };
}

/** A refusal with the policy that allows it: here a person's keys are at work, not those of the run role. */
function withPolicy(error: unknown): unknown {
  if (!(error instanceof BackupError) || error.details['status'] !== 403) return error;
  return new BackupError(error.code, error.message, {
    cause: error,
    hint: 'Grant these API keys name/cos:GetBucket and name/cos:DeleteObject on the prefix: policies/remove-objects.json has both.',
    details: error.details,
  });
}

/** Everything that the function writes is below these; none where its topic is no topic. */
function foldersOf({ environment, functionName }: Rule): string[] {
  const { COS_PREFIX: prefix = '', PULSAR_TOPIC: text = '', RULE_NAME: name } = environment;
  const topic = parseTopicName(text);
  if (topic === undefined) return [];
  return [
    topicFolder(prefix, topic),
    `${prefix}_runs/rule=${name || functionName}/`,
    topicFolder(`${prefix}_unreadable/`, topic),
    schemaFolder(prefix, topic),
    ...(isArchiveClass(environment['COS_STORAGE_CLASS']) ? [topicFolder(`${prefix}_contents/`, topic)] : []),
  ];
}

async function refuseShared(cloud: Cloud, rule: Rule, folders: readonly string[]): Promise<void> {
  const bucket = rule.environment['COS_BUCKET'];
  for (const other of await listRules(cloud)) {
    if (other.functionName === rule.functionName || other.environment['COS_BUCKET'] !== bucket) continue;
    const isShared = foldersOf(other).some((theirs) =>
      folders.some((ours) => theirs.startsWith(ours) || ours.startsWith(theirs)),
    );
    if (!isShared) continue;
    throw new BackupError('rule', `the rule ${other.name} stores in the same folders as ${rule.name}`, {
      hint: 'Nothing was deleted. Leave --delete-objects out: its objects cannot be distinguished from those of this rule.',
    });
  }
}

function stopped(
  error: unknown,
  rule: Rule,
  at: { removed: number; total: number | undefined; bucket: string; folders: readonly string[] },
): BackupError {
  const cause = error instanceof BackupError ? error : undefined;
  const state =
    at.total === undefined
      ? 'none of its objects was removed'
      : `${at.removed} of its ${at.total} objects were removed, ${at.total - at.removed} remain`;
  return new BackupError('store', `the rule ${rule.name} is deleted, but ${state}: ${messageOf(error)}`, {
    cause: error,
    retryable: cause?.retryable ?? false,
    hint: `Remove what remains by hand, in ${at.bucket}: ${at.folders.join(', ')}.${cause?.hint ? ` ${cause.hint}` : ''}`,
    details: cause?.details ?? {},
  });
}
