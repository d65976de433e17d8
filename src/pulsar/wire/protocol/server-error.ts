// What a broker's refusal means: whether trying again may help, and what a person should do.
import { BackupError } from '../../../errors.ts';
import { SERVER_ERROR } from './tables.ts';

const NAMES = new Map<number, string>(Object.entries(SERVER_ERROR).map(([name, code]) => [code, name]));

/** For a tenant, namespace or topic that is not there. */
export const NO_TOPIC = 'Check PULSAR_TOPIC: the cluster does not have this tenant, namespace or topic.';

/** For a name that brokers refuse. */
export const BAD_NAME = 'Check PULSAR_TOPIC: the cluster does not accept this name.';

/** For a role that is known and may not. */
export const NO_PERMISSION =
  'Give the role in use (that of PULSAR_TOKEN, of TDMQ_ROLE_NAME, or of the client certificate) the permission to consume in this namespace (TDMQ console: Namespace, Configure permission); if none of these is set, set one. A namespace that does not exist may be refused in the same way: check PULSAR_TOPIC too.';

const HINTS: ReadonlyMap<number, string> = new Map([
  [
    SERVER_ERROR.AuthenticationError,
    'Check PULSAR_TOKEN: it must be the current key of a TDMQ role of this cluster.',
  ],
  [SERVER_ERROR.AuthorizationError, NO_PERMISSION],
  [SERVER_ERROR.TopicNotFound, NO_TOPIC],
  [SERVER_ERROR.InvalidTopicName, BAD_NAME],
  [
    SERVER_ERROR.SubscriptionNotFound,
    'Create the subscription of PULSAR_SUBSCRIPTION; the cluster does not create it by itself.',
  ],
  [
    SERVER_ERROR.ConsumerBusy,
    'Another consumer holds the subscription: give this rule a subscription of its own, or stop the other consumer.',
  ],
  [
    SERVER_ERROR.NotAllowedError,
    'A policy of the cluster, the namespace or the topic does not allow it: the reason above names it (types of subscriptions, how many subscriptions a topic may have). Change that policy, or the setting of this rule.',
  ],
]);

const CONSUMER_LIMIT_HINT =
  'The topic or its subscription has as many consumers as a policy allows (maxConsumersPerTopic, maxConsumersPerSubscription; consumers of other subscriptions count for the topic): raise the limit, or stop other consumers.';

const LATER =
  'The broker cannot do this just now. It is tried again while there is time; if it stays, look at the cluster.';

/** Trying again, after a new lookup, may help. */
const RETRYABLE: ReadonlySet<number> = new Set([
  SERVER_ERROR.UnknownError,
  SERVER_ERROR.MetadataError,
  SERVER_ERROR.PersistenceError,
  SERVER_ERROR.ServiceNotReady,
  SERVER_ERROR.TooManyRequests,
  SERVER_ERROR.ConsumerAssignError,
  SERVER_ERROR.ConsumerNotFound,
]);

/** For a broker that has no listener of the name that was asked for. */
export const LISTENER_HINT =
  'Check PULSAR_LISTENER_NAME: the brokers know no listener of this name (advertisedListeners). Leave it out if the access address needs none.';

/** The words of all versions; over the binary protocol they come as ServiceNotReady, over HTTP with 500. */
export const saysUnknownListener = (words: string): boolean => /do(?:es)? not have .*listener/i.test(words);

/** Brokers of all versions answer ConsumerBusy too where no further consumer may come, whoever holds the subscription. */
export const saysConsumerLimit = (words: string): boolean => /\bmax(?:imum)?\b.*\bconsumers\b/i.test(words);

/** A broker's refusal as it is thrown; `details.serverError` has its name. */
export function serverError(what: string, code: unknown, message: unknown): BackupError {
  const number = typeof code === 'number' ? code : SERVER_ERROR.UnknownError;
  const name = NAMES.get(number) ?? `error ${number}`;
  const words = typeof message === 'string' ? firstLine(message) : '';
  const isUnknownListener = saysUnknownListener(words);
  // Brokers before Pulsar 3.0 have no code of its own for it.
  const isNoNamespace =
    number === SERVER_ERROR.MetadataError &&
    /(?:Policies|Namespace|Tenant)\b.*\bnot (?:found|exist)/i.test(words);
  const hint = isUnknownListener
    ? LISTENER_HINT
    : isNoNamespace
      ? NO_TOPIC
      : number === SERVER_ERROR.ConsumerBusy && saysConsumerLimit(words)
        ? CONSUMER_LIMIT_HINT
        : (HINTS.get(number) ?? (RETRYABLE.has(number) ? LATER : undefined));
  return new BackupError('source', `${what} was refused: ${name}${words === '' ? '' : ` (${words})`}`, {
    retryable: RETRYABLE.has(number) && !isUnknownListener && !isNoNamespace,
    ...(hint === undefined ? {} : { hint }),
    details: { serverError: name },
  });
}

/** Whether an error is the broker's refusal of this name. */
export function isServerError(error: unknown, name: keyof typeof SERVER_ERROR): boolean {
  return error instanceof BackupError && error.details['serverError'] === name;
}

/** Brokers send whole stack traces. */
function firstLine(message: string): string {
  const line = message.split('\n', 1)[0] ?? '';
  return line.length > 300 ? `${line.slice(0, 300)}…` : line;
}
