// The index of a rule's log topic in CLS. SCF makes one for its own fields only (cloud.tencent.com/document/product/583,
// "Log Delivery Configuration"): without a full-text index no line of ours is found, and without a key-value index with
// statistics on our fields no query counts or sums them (614/39594). Reads only.
import { isNotFound } from './api-failure.ts';
import { type CheckResult, fail, ok, warn } from './check-result.ts';
import type { Cloud } from './cloud.ts';

/** The fields of our lines that the documented queries select, by their types in CLS. */
export const QUERIED_FIELDS = {
  level: 'text',
  message: 'text',
  requestId: 'text',
  rule: 'text',
  stopReason: 'text',
  topic: 'text',
  reason: 'text',
  heldBack: 'text',
  errorCode: 'text',
  errorMessage: 'text',
  hint: 'text',
  messages: 'long',
  objects: 'long',
  recordBytes: 'long',
  durationMs: 'long',
  backlogEntries: 'long',
  subscriptionMoved: 'long',
  entries: 'long',
} as const;

/** Whether what the rule logs can be searched and counted. */
export async function inspectLogIndex(cloud: Cloud, topicId: string): Promise<CheckResult> {
  const item = 'log index';
  const answer = await cloud.call('cls', 'DescribeIndex', { TopicId: topicId }).catch((error: unknown) => {
    if (isNotFound(error)) return undefined;
    throw error;
  });
  const steps =
    'In the CLS console, under the topic\'s "Index Configuration", switch on the full-text index and add the fields of docs/operations.md, with statistics; it works for lines that come from then on.';
  if (answer === undefined) {
    return fail(item, `there is no log topic ${topicId}`, 'Correct --cls-topic (DEPLOY_CLS_TOPIC_ID).');
  }
  const { Status: isOn, Rule: rule } = answer;
  if (isOn !== true || rule?.FullText == null) {
    return warn(
      item,
      `the log topic ${topicId} has no full-text index: \`rule logs\` and the state of runs find nothing`,
      steps,
    );
  }
  // An index that follows the fields as they come needs none of them by name.
  const isDynamic = rule.DynamicIndex?.Status === true;
  const counted = (rule.KeyValue?.KeyValues ?? []).flatMap(({ Key, Value }) =>
    Value.SqlFlag === true ? [Key] : [],
  );
  const missing = isDynamic ? [] : Object.keys(QUERIED_FIELDS).filter((name) => !counted.includes(name));
  return missing.length === 0
    ? ok(item, `the log topic ${topicId} is indexed for the documented queries`)
    : warn(
        item,
        `the log topic ${topicId} has no key-value index with statistics on ${missing.join(', ')}: queries cannot count them`,
        steps,
      );
}
