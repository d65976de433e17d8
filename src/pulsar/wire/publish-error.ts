// What a broker's refusal means to somebody who publishes: the hints of server-error.ts speak to consumers.
import { BackupError } from '../../errors.ts';
import { BAD_NAME, isServerError, NO_PERMISSION, NO_TOPIC } from './protocol/server-error.ts';

/** The error with a hint for a producer on `topic`; what is none of the known refusals stays as it is. */
export function publishError(error: unknown, topic: string): unknown {
  const again = (hint: string, retryable: boolean) =>
    new BackupError('source', (error as BackupError).message, {
      hint,
      retryable,
      cause: error,
      details: (error as BackupError).details,
    });
  const { httpStatus } = error instanceof BackupError ? error.details : {};
  const mayNot = httpStatus !== undefined && (error as BackupError).hint === NO_PERMISSION;
  // Retryable, for the broker may not have noticed the end of the connection before.
  if (isServerError(error, 'ProducerBusy'))
    return again(`Another restore publishes to ${topic} under the same name: let it end first.`, true);
  if (isServerError(error, 'AuthorizationError') || mayNot)
    return again(
      'Give the role in use (that of PULSAR_TOKEN, of TDMQ_ROLE_NAME, or of the client certificate) the permission to produce in this namespace.',
      false,
    );
  const isMissing = error instanceof BackupError && error.hint === NO_TOPIC;
  if (isServerError(error, 'TopicNotFound') || isMissing)
    return again(
      'Create the topic to restore into first, with its partitions and a subscription or a retention (else the broker drops what nobody waits for), its tenant and namespace too; the cluster does not create it by itself.',
      false,
    );
  if (error instanceof BackupError && error.hint === BAD_NAME)
    return again('Check the name of the topic to restore into: the cluster does not accept it.', false);
  if (isServerError(error, 'TopicTerminatedError'))
    return again('The topic was terminated and takes no messages any more: restore into another one.', false);
  if (isServerError(error, 'IncompatibleSchema'))
    return again(
      'The topic has a schema, and the namespace lets only producers with one publish to it: switch schema-validation-enforced off meanwhile, or use a topic without a schema. To restore into it, the archive needs the schemas of its messages: `archive schemas fetch` may find them.',
      false,
    );
  if (
    isServerError(error, 'ProducerBlockedQuotaExceededError') ||
    isServerError(error, 'ProducerBlockedQuotaExceededException')
  )
    return again('The backlog quota of the namespace is used up: consume from it, or raise it.', true);
  return error;
}
