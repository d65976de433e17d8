// What client and broker say about themselves before anything else: CONNECT, CONNECTED, and who this client is whenever the
// broker asks again. Sends nothing.
import { type BackupError, withHint } from '../../errors.ts';
import { authFields, type Identity, unknownHint } from './authentication.ts';
import type { CommandFields } from './protocol/frame.ts';
import { isServerError, serverError } from './protocol/server-error.ts';
import { FRAME } from './protocol/tables.ts';

/** The newest version whose commands this driver understands (20 would make brokers send TOPIC_MIGRATED). */
const PROTOCOL_VERSION = 19;
const CLIENT_VERSION = 'tdmq-backup';

/** What a broker says about itself. */
export interface BrokerFeatures {
  readonly protocolVersion: number;
  /** The largest message that it stores. */
  readonly maxMessageBytes: number;
  /** Whether PARTITIONED_METADATA creates no topic where the request forbids it. */
  readonly createsNoTopicUnasked: boolean;
}

/** Before the broker has said anything. */
export const UNKNOWN_BROKER: BrokerFeatures = {
  protocolVersion: 0,
  maxMessageBytes: FRAME.defaultMaxMessageSizeBytes,
  createsNoTopicUnasked: false,
};

/** CONNECT. `proxyTo`: the broker (`host:port`) that a Pulsar proxy is to connect to. */
export function connectFields(
  identity: Identity,
  isOverTls: boolean,
  proxyTo: string | undefined,
): CommandFields<'connect'> {
  return {
    clientVersion: CLIENT_VERSION,
    protocolVersion: PROTOCOL_VERSION,
    featureFlags: { supportsAuthRefresh: true, supportsBrokerEntryMetadata: true },
    ...authFields(identity, isOverTls),
    ...(proxyTo === undefined ? {} : { proxyToBrokerUrl: proxyTo }),
  };
}

/** AUTH_RESPONSE: brokers ask again before a token ends. */
export function authResponseFields(identity: Identity, isOverTls: boolean): CommandFields<'authResponse'> {
  return {
    clientVersion: CLIENT_VERSION,
    protocolVersion: PROTOCOL_VERSION,
    response: { authMethodName: 'none', ...authFields(identity, isOverTls) },
  };
}

/** CONNECTED. */
export function featuresOf({
  protocolVersion = 0,
  maxMessageSize = 0,
  featureFlags,
}: CommandFields<'connected'>): BrokerFeatures {
  return {
    protocolVersion,
    maxMessageBytes: maxMessageSize > 0 ? maxMessageSize : UNKNOWN_BROKER.maxMessageBytes,
    createsNoTopicUnasked: featureFlags?.supportsGetPartitionedMetadataWithoutAutoCreation === true,
  };
}

/** ERROR instead of CONNECTED. `name`: who refused. */
export function refusalOf(
  name: string,
  { error, message }: CommandFields<'error'>,
  identity: Identity,
  isOverTls: boolean,
): BackupError {
  const refusal = serverError(`connecting to ${name}`, error, message);
  return isServerError(refusal, 'AuthenticationError')
    ? withHint(refusal, unknownHint(identity, refusal.message, isOverTls))
    : refusal;
}
