// Whether a topic is there, asked in a way that creates none: by the list of its namespace's topics.
import { withHint } from '../../errors.ts';
import type { TopicName } from '../../topic-name.ts';
import type { Connection } from './connection.ts';
import type { CommandFields } from './protocol/frame.ts';
import { isServerError, NO_TOPIC, serverError } from './protocol/server-error.ts';
import { SERVER_ERROR } from './protocol/tables.ts';

/**
 * Resolves where the broker lists the topic, or a partition of it; also where the role may not see the list, because a
 * rule that works must go on. The list does not have a partitioned topic none of whose partitions is left.
 * @throws BackupError `source`: no such topic, or no answer
 */
export async function expectListed(broker: Connection, topic: TopicName): Promise<void> {
  const { tenant, namespace, full } = topic;
  const what = `looking for ${full}`;
  const request = { namespace: `${tenant}/${namespace}` };
  const answer = await broker.request('getTopicsOfNamespace', request, what).catch((error: unknown) => {
    if (isServerError(error, 'AuthorizationError')) return undefined;
    throw error;
  });
  if (answer === undefined) return;
  const { topics = [] } = answer.fields as CommandFields<'getTopicsOfNamespaceResponse'>;
  const isOurs = (name: string): boolean =>
    name === full || (name.startsWith(`${full}-partition-`) && /^\d+$/.test(name.slice(full.length + 11)));
  if (topics.some(isOurs)) return;
  throw withHint(
    serverError(what, SERVER_ERROR.TopicNotFound, 'the namespace does not list it'),
    `${NO_TOPIC} A partitioned topic of which the broker has deleted every partition is found over a PULSAR_SERVICE_URL of http:// or https://.`,
  );
}
