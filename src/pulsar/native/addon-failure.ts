// Interprets the errors of pulsar-client: plain Errors whose text ends with the name of a libpulsar result.
import { BackupError, messageOf } from '../../errors.ts';

interface Meaning {
  readonly code: 'config' | 'source';
  readonly retryable: boolean;
  readonly hint: string;
}

const refused = (hint: string): Meaning => ({ code: 'source', retryable: false, hint });
const passing = (hint: string): Meaning => ({ code: 'source', retryable: true, hint });

const UNREACHABLE =
  'Check PULSAR_SERVICE_URL, the network between here and the cluster, its security group, and the PULSAR_TLS_ settings.';
const NO_ROLE =
  'Check PULSAR_TOKEN (or the client certificate), and that its role may consume in the namespace (TDMQ console, Namespace, Permission).';
const UNREACHED = `${UNREACHABLE} This driver reports a wrong PULSAR_TOKEN the same way: PULSAR_DRIVER=wire reports which it is.`;
const LATER = 'The broker moves or starts the topic, or lost the connection; the next run tries again.';

const NO_TOPIC = refused('Check PULSAR_TOPIC: tenant (the cluster id), namespace and topic.');

/** Refusals of brokers over HTTP; libpulsar reports all of them as ConnectError. */
const HTTP_MEANINGS: Readonly<Record<number, Meaning>> = {
  401: refused(NO_ROLE),
  403: refused(NO_ROLE),
  404: NO_TOPIC,
};

const MEANINGS: Readonly<Record<string, Meaning>> = {
  TimeOut: passing(`No answer in time. ${UNREACHED}`),
  ConnectError: passing(UNREACHED),
  AuthenticationError: refused(NO_ROLE),
  AuthorizationError: refused(NO_ROLE),
  ErrorGettingAuthenticationData: refused(NO_ROLE),
  TopicNotFound: NO_TOPIC,
  SubscriptionNotFound: refused('Check PULSAR_SUBSCRIPTION; create it in the TDMQ console.'),
  BrokerMetadataError: refused(
    'Check PULSAR_TOPIC: the tenant (the cluster id) and the namespace must exist.',
  ),
  ConsumerBusy: passing(
    'Somebody else consumes the subscription, in another way than PULSAR_SUBSCRIPTION_TYPE says; a backup needs a subscription of its own.',
  ),
  InvalidTopicName: { ...refused('Check PULSAR_TOPIC.'), code: 'config' },
  InvalidUrl: { ...refused('Check PULSAR_SERVICE_URL.'), code: 'config' },
  InvalidConfiguration: { ...refused('Check the PULSAR_ settings.'), code: 'config' },
  ServiceUnitNotReady: passing(LATER),
  LookupError: passing(LATER),
  TooManyLookupRequestException: passing(LATER),
  BrokerPersistenceError: passing(LATER),
  NotConnected: passing(LATER),
  AlreadyClosed: passing(LATER),
  ResultDisconnected: passing(LATER),
  Disconnected: passing(LATER),
  Retryable: passing(LATER),
};

/** The name of the libpulsar result at the end of the text, `TimeOut` for example. */
export const resultOf = (thrown: unknown): string => messageOf(thrown).split(': ').at(-1) ?? '';

/**
 * The BackupError of something pulsar-client threw while it should have done `what`. `httpStatus`: what a broker that
 * was asked over HTTP refused it with, which only libpulsar's log contains.
 */
export function sourceError(what: string, thrown: unknown, httpStatus?: number): BackupError {
  if (thrown instanceof BackupError) return thrown;
  const result = resultOf(thrown);
  const refusal =
    result === 'ConnectError' && httpStatus !== undefined ? HTTP_MEANINGS[httpStatus] : undefined;
  const meaning =
    refusal ??
    MEANINGS[result] ??
    refused('The libpulsar lines of the log say more; PULSAR_DRIVER=wire says most.');
  const answer = refusal === undefined ? '' : ` (HTTP ${httpStatus})`;
  return new BackupError(meaning.code, `${what} failed: ${messageOf(thrown)}${answer}`, {
    retryable: meaning.retryable,
    hint: meaning.hint,
    cause: thrown,
    details: { result },
  });
}
