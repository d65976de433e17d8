// A rule's subscription: made where it is missing, moved where a start is asked for, deleted when that is asked for.
import { ifThere } from './api-failure.ts';
import type { Cloud } from './cloud.ts';
import type { ResolvedRule } from './resolve-rule.ts';
import type { Step } from './steps.ts';

/** Where a subscription is, as the TDMQ API names it. */
export interface SubscriptionLocation {
  readonly ClusterId: string;
  readonly EnvironmentId: string;
  readonly TopicName: string;
}

const locationOf = ({ cluster, config }: ResolvedRule): SubscriptionLocation => ({
  ClusterId: cluster.id,
  EnvironmentId: config.pulsar.topic.namespace,
  TopicName: config.pulsar.topic.topic,
});

/** Makes the subscription at its start; nothing where it exists. */
export function createSubscription(cloud: Cloud, rule: ResolvedRule): Step[] {
  const { name, existing } = rule.subscription;
  if (existing !== undefined) return [];
  const location = locationOf(rule);
  const request = { ...location, SubscriptionName: name, IsIdempotent: false, AutoCreatePolicyTopic: false };
  return [
    {
      title: `create the subscription ${name}`,
      call: 'tdmq:CreateSubscription',
      request,
      run: (signal) => cloud.call('tdmq', 'CreateSubscription', request, { signal }),
      undo: {
        title: `delete the subscription ${name}`,
        left: `the subscription ${name}, which collects messages`,
        byHand: `delete it in the TDMQ console, at topic ${location.EnvironmentId}/${location.TopicName} of ${location.ClusterId}`,
        run: (signal) => removeSubscription(cloud, location, name, signal),
      },
    },
    ...move(cloud, rule),
  ];
}

/** Moves a subscription that was there to the start that is asked for. Nothing undoes this: the API does not report where it was. */
export function moveSubscription(cloud: Cloud, rule: ResolvedRule): Step[] {
  return rule.subscription.existing === undefined ? [] : move(cloud, rule);
}

function move(cloud: Cloud, rule: ResolvedRule): Step[] {
  const { startMs } = rule;
  const { name, existing } = rule.subscription;
  if (startMs === undefined) return [];
  const request = { ...locationOf(rule), Subscription: name, ToTimestamp: startMs };
  const start = startMs === 1 ? 'the earliest message' : new Date(startMs).toISOString();
  return [
    {
      title: `move the subscription ${name} to ${start}`,
      call: 'tdmq:ResetMsgSubOffsetByTimestamp',
      request,
      run: (signal) => cloud.call('tdmq', 'ResetMsgSubOffsetByTimestamp', request, { signal }),
      ...(existing && { lasting: `the subscription ${name} is at ${start} now` }),
    },
  ];
}

/** Deletes it, which TDMQ refuses while consumers are connected. */
export function deleteSubscription(cloud: Cloud, location: SubscriptionLocation, name: string): Step {
  return {
    title: `delete the subscription ${name}`,
    call: 'tdmq:DeleteSubscriptions',
    request: { ...location, SubscriptionName: name },
    run: (signal) => removeSubscription(cloud, location, name, signal),
    lasting: `the subscription ${name} is deleted`,
  };
}

function removeSubscription(cloud: Cloud, location: SubscriptionLocation, name: string, signal: AbortSignal) {
  const { ClusterId, EnvironmentId, TopicName } = location;
  const SubscriptionTopicSets = [{ EnvironmentId, TopicName, SubscriptionName: name }];
  const request = { ClusterId, EnvironmentId, SubscriptionTopicSets, Force: false };
  return ifThere(cloud.call('tdmq', 'DeleteSubscriptions', request, { signal }));
}
