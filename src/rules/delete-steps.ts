// The steps that delete a rule, and what remains.
import { BackupError } from '../errors.ts';
import { parseTopicName } from '../topic-name.ts';
import type { Cloud } from './cloud.ts';
import { deleteFunction } from './function-status.ts';
import type { Rule } from './rule.ts';
import { deleteRunRole, findRunRole } from './run-role.ts';
import type { Step } from './steps.ts';
import { deleteSubscription } from './subscription-steps.ts';
import { findCluster } from './tdmq-lookup.ts';
import { switchTimers } from './timer-steps.ts';

export interface DeleteOptions {
  readonly subscription: boolean;
  readonly runRole: boolean;
  /** Removed by rule-objects.ts once the steps are done. */
  readonly objects: boolean;
}

/**
 * What deleting a rule amounts to. The subscription goes first: TDMQ refuses that while a run is connected, and then
 * nothing is deleted. @throws BackupError `rule` for a run role that is not ours
 */
export async function planDelete(cloud: Cloud, rule: Rule, options: DeleteOptions): Promise<Step[]> {
  const { functionName, runRole } = rule;
  const subscription = options.subscription ? await subscriptionOf(cloud, rule) : [];
  // A tick in between would make the subscription again.
  const pause = subscription.length > 0 && rule.timers.length > 0 ? switchTimers(cloud, rule, false) : [];
  return [
    ...pause,
    ...subscription,
    {
      title: `delete the function ${functionName} with its timer`,
      call: 'scf:DeleteFunction',
      request: { FunctionName: functionName },
      run: (signal) => deleteFunction(cloud, functionName, signal),
      lasting: `the function ${functionName} is deleted`,
    },
    ...(options.runRole && runRole !== undefined ? await runRoleSteps(cloud, runRole) : []),
  ];
}

async function subscriptionOf(cloud: Cloud, { environment }: Rule): Promise<Step[]> {
  const topic = parseTopicName(environment['PULSAR_TOPIC'] ?? '');
  const cluster = topic && (await findCluster(cloud, environment['TDMQ_CLUSTER_ID'] ?? topic.tenant));
  if (topic === undefined || cluster === undefined) return [];
  const location = { ClusterId: cluster.id, EnvironmentId: topic.namespace, TopicName: topic.topic };
  return [deleteSubscription(cloud, location, environment['PULSAR_SUBSCRIPTION'] ?? '')];
}

async function runRoleSteps(cloud: Cloud, runRole: string): Promise<Step[]> {
  const role = await findRunRole(cloud, runRole);
  if (role === undefined) return [];
  if (role.isOurs) return await deleteRunRole(cloud, runRole);
  throw new BackupError('rule', `the run role ${runRole} was not made by tdmq-backup`, {
    hint: 'Leave --delete-run-role out, and delete the role in the CAM console if nothing else uses it.',
  });
}

/** What stays when a rule is deleted, as sentences. */
export function whatRemains(rule: Rule, options: DeleteOptions): string[] {
  const { COS_BUCKET: bucket, COS_PREFIX: prefix = '', PULSAR_SUBSCRIPTION: name } = rule.environment;
  const remains = options.objects
    ? []
    : [`the stored objects under ${bucket}/${prefix} (--delete-objects removes those of this rule)`];
  if (!options.subscription) {
    remains.push(
      `the subscription ${name}, which goes on collecting messages (--delete-subscription deletes it)`,
    );
  }
  if (!options.runRole && rule.runRole !== undefined) remains.push(`the run role ${rule.runRole}`);
  if (rule.cls !== undefined) remains.push(`the log topic ${rule.cls.topicId}`);
  return remains;
}
