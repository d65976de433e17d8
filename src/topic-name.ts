// The name of a Pulsar topic, as Pulsar's TopicName has it: persistent://tenant/namespace/topic[-partition-N].

export interface TopicName {
  readonly tenant: string;
  readonly namespace: string;
  /** The topic as given, with `-partition-N` if one partition was named. */
  readonly topic: string;
  /** `persistent://tenant/namespace/topic` */
  readonly full: string;
}

/**
 * Parses `persistent://tenant/ns/topic` or `tenant/ns/topic`; `undefined` where it is neither. A part that is `.` or
 * `..` is refused, because URLs and object keys drop it. The topic may contain anything else except `/` and control
 * characters.
 */
export function parseTopicName(text: string): TopicName | undefined {
  const match = /^(?:persistent:\/\/)?([\w=:.-]+)\/([\w=:.-]+)\/([^/\p{Cc}]+)$/u.exec(text);
  if (match === null) return undefined;
  const [, tenant, namespace, topic] = match as unknown as [string, string, string, string];
  if ([tenant, namespace, topic].some((part) => part === '.' || part === '..')) return undefined;
  return { tenant, namespace, topic, full: `persistent://${tenant}/${namespace}/${topic}` };
}

/** The full name of one partition; of the topic itself for -1. */
export function partitionTopic(topic: TopicName, partition: number): string {
  return partition < 0 ? topic.full : `${topic.full}-partition-${partition}`;
}
