// Pulsar's binary protocol as data: messages, field numbers, types, enums and frame constants. Contains no code and applies
// no defaults. Source: PulsarApi.proto of Apache Pulsar (protocol version 21) and "Pulsar binary protocol specification".
// Long because the protocol is: a row per field, in the order of that file, so that the two can be read side by side.

/** Scalar types of protobuf that the protocol uses; enums are `int32` here, with their values below. */
export type ScalarType = 'uint64' | 'int64' | 'uint32' | 'int32' | 'bool' | 'string' | 'bytes' | 'double';

/** `[number, type]` or `[number, type, 'repeated']`; the type is a scalar or the name of a message. */
export type FieldTable = readonly [number: number, type: string, label?: 'repeated'];

/** The messages by name, each with its fields by name. */
export const MESSAGES = {
  MessageIdData: {
    ledgerId: [1, 'uint64'],
    entryId: [2, 'uint64'],
    /** Default -1. */
    partition: [3, 'int32'],
    /** Default -1. */
    batchIndex: [4, 'int32'],
    ackSet: [5, 'int64', 'repeated'],
    batchSize: [6, 'int32'],
    firstChunkMessageId: [7, 'MessageIdData'],
  },
  KeyValue: {
    key: [1, 'string'],
    value: [2, 'string'],
  },
  KeyLongValue: {
    key: [1, 'string'],
    value: [2, 'uint64'],
  },
  IntRange: {
    start: [1, 'int32'],
    end: [2, 'int32'],
  },
  EncryptionKeys: {
    key: [1, 'string'],
    value: [2, 'bytes'],
    metadata: [3, 'KeyValue', 'repeated'],
  },
  Schema: {
    name: [1, 'string'],
    schemaData: [3, 'bytes'],
    /** SCHEMA_TYPE */
    type: [4, 'int32'],
    properties: [5, 'KeyValueBytes', 'repeated'],
  },
  /** KeyValue, read as bytes: what is no UTF-8 stays what it is. */
  KeyValueBytes: {
    key: [1, 'bytes'],
    value: [2, 'bytes'],
  },

  /** What a producer writes before the payload of each entry. */
  MessageMetadata: {
    producerName: [1, 'string'],
    sequenceId: [2, 'uint64'],
    /** Milliseconds since the epoch. */
    publishTime: [3, 'uint64'],
    properties: [4, 'KeyValue', 'repeated'],
    replicatedFrom: [5, 'string'],
    partitionKey: [6, 'string'],
    replicateTo: [7, 'string', 'repeated'],
    /** COMPRESSION_TYPE; default NONE. */
    compression: [8, 'int32'],
    uncompressedSize: [9, 'uint32'],
    /** Present means: the payload is a batch of this many messages, also for 1. */
    numMessagesInBatch: [11, 'int32'],
    /** 0: none. */
    eventTime: [12, 'uint64'],
    encryptionKeys: [13, 'EncryptionKeys', 'repeated'],
    encryptionAlgo: [14, 'string'],
    encryptionParam: [15, 'bytes'],
    schemaVersion: [16, 'bytes'],
    partitionKeyB64Encoded: [17, 'bool'],
    orderingKey: [18, 'bytes'],
    deliverAtTime: [19, 'int64'],
    markerType: [20, 'int32'],
    txnidLeastBits: [22, 'uint64'],
    txnidMostBits: [23, 'uint64'],
    highestSequenceId: [24, 'uint64'],
    nullValue: [25, 'bool'],
    uuid: [26, 'string'],
    numChunksFromMsg: [27, 'int32'],
    totalChunkMsgSize: [28, 'int32'],
    chunkId: [29, 'int32'],
    nullPartitionKey: [30, 'bool'],
    /** Indexes of the messages that compaction left in a batch. */
    compactedBatchIndexes: [31, 'int32', 'repeated'],
    schemaId: [32, 'bytes'],
  },
  /** Precedes each message of a batch, with a u32 length before it. */
  SingleMessageMetadata: {
    properties: [1, 'KeyValue', 'repeated'],
    partitionKey: [2, 'string'],
    payloadSize: [3, 'int32'],
    compactedOut: [4, 'bool'],
    eventTime: [5, 'uint64'],
    partitionKeyB64Encoded: [6, 'bool'],
    orderingKey: [7, 'bytes'],
    sequenceId: [8, 'uint64'],
    nullValue: [9, 'bool'],
    nullPartitionKey: [10, 'bool'],
  },
  BrokerEntryMetadata: {
    brokerTimestamp: [1, 'uint64'],
    index: [2, 'uint64'],
  },

  FeatureFlags: {
    supportsAuthRefresh: [1, 'bool'],
    supportsBrokerEntryMetadata: [2, 'bool'],
    supportsPartialProducer: [3, 'bool'],
    supportsTopicWatchers: [4, 'bool'],
    supportsGetPartitionedMetadataWithoutAutoCreation: [5, 'bool'],
    supportsReplDedupByLidAndEid: [6, 'bool'],
    supportsTopicWatcherReconcile: [7, 'bool'],
  },
  CommandConnect: {
    clientVersion: [1, 'string'],
    authMethod: [2, 'int32'],
    authData: [3, 'bytes'],
    protocolVersion: [4, 'int32'],
    /** `token` for JWTs. */
    authMethodName: [5, 'string'],
    /** `host:port` of the broker that the proxy is to connect to. */
    proxyToBrokerUrl: [6, 'string'],
    originalPrincipal: [7, 'string'],
    originalAuthData: [8, 'string'],
    originalAuthMethod: [9, 'string'],
    featureFlags: [10, 'FeatureFlags'],
    proxyVersion: [11, 'string'],
  },
  CommandConnected: {
    serverVersion: [1, 'string'],
    protocolVersion: [2, 'int32'],
    maxMessageSize: [3, 'int32'],
    featureFlags: [4, 'FeatureFlags'],
  },
  AuthData: {
    authMethodName: [1, 'string'],
    authData: [2, 'bytes'],
  },
  CommandAuthChallenge: {
    serverVersion: [1, 'string'],
    challenge: [2, 'AuthData'],
    protocolVersion: [3, 'int32'],
  },
  CommandAuthResponse: {
    clientVersion: [1, 'string'],
    response: [2, 'AuthData'],
    protocolVersion: [3, 'int32'],
  },

  KeySharedMeta: {
    /** KEY_SHARED_MODE */
    keySharedMode: [1, 'int32'],
    hashRanges: [3, 'IntRange', 'repeated'],
    allowOutOfOrderDelivery: [4, 'bool'],
  },
  CommandSubscribe: {
    topic: [1, 'string'],
    subscription: [2, 'string'],
    /** SUBSCRIPTION_TYPE */
    subType: [3, 'int32'],
    consumerId: [4, 'uint64'],
    requestId: [5, 'uint64'],
    consumerName: [6, 'string'],
    priorityLevel: [7, 'int32'],
    /** Default true. */
    durable: [8, 'bool'],
    startMessageId: [9, 'MessageIdData'],
    metadata: [10, 'KeyValue', 'repeated'],
    readCompacted: [11, 'bool'],
    schema: [12, 'Schema'],
    /** INITIAL_POSITION; default Latest. */
    initialPosition: [13, 'int32'],
    replicateSubscriptionState: [14, 'bool'],
    /** Default true. */
    forceTopicCreation: [15, 'bool'],
    startMessageRollbackDurationSec: [16, 'uint64'],
    keySharedMeta: [17, 'KeySharedMeta'],
    subscriptionProperties: [18, 'KeyValue', 'repeated'],
    consumerEpoch: [19, 'uint64'],
  },
  CommandUnsubscribe: {
    consumerId: [1, 'uint64'],
    requestId: [2, 'uint64'],
    force: [3, 'bool'],
  },
  CommandPartitionedTopicMetadata: {
    topic: [1, 'string'],
    requestId: [2, 'uint64'],
    originalPrincipal: [3, 'string'],
    originalAuthData: [4, 'string'],
    originalAuthMethod: [5, 'string'],
    /** Default true. */
    metadataAutoCreationEnabled: [6, 'bool'],
  },
  CommandPartitionedTopicMetadataResponse: {
    partitions: [1, 'uint32'],
    requestId: [2, 'uint64'],
    /** PARTITIONED_METADATA_TYPE */
    response: [3, 'int32'],
    error: [4, 'int32'],
    message: [5, 'string'],
  },
  CommandLookupTopic: {
    topic: [1, 'string'],
    requestId: [2, 'uint64'],
    authoritative: [3, 'bool'],
    originalPrincipal: [4, 'string'],
    originalAuthData: [5, 'string'],
    originalAuthMethod: [6, 'string'],
    advertisedListenerName: [7, 'string'],
    properties: [8, 'KeyValue', 'repeated'],
  },
  CommandLookupTopicResponse: {
    brokerServiceUrl: [1, 'string'],
    brokerServiceUrlTls: [2, 'string'],
    /** LOOKUP_TYPE */
    response: [3, 'int32'],
    requestId: [4, 'uint64'],
    authoritative: [5, 'bool'],
    error: [6, 'int32'],
    message: [7, 'string'],
    proxyThroughServiceUrl: [8, 'bool'],
  },

  CommandProducer: {
    topic: [1, 'string'],
    producerId: [2, 'uint64'],
    requestId: [3, 'uint64'],
    producerName: [4, 'string'],
    encrypted: [5, 'bool'],
    metadata: [6, 'KeyValue', 'repeated'],
    schema: [7, 'Schema'],
    epoch: [8, 'uint64'],
    /** Default true. */
    userProvidedProducerName: [9, 'bool'],
    /** PRODUCER_ACCESS_MODE; default Shared. */
    producerAccessMode: [10, 'int32'],
    topicEpoch: [11, 'uint64'],
    txnEnabled: [12, 'bool'],
    initialSubscriptionName: [13, 'string'],
  },
  CommandProducerSuccess: {
    requestId: [1, 'uint64'],
    producerName: [2, 'string'],
    /** Default -1. */
    lastSequenceId: [3, 'int64'],
    schemaVersion: [4, 'bytes'],
    topicEpoch: [5, 'uint64'],
    /** Default true. */
    producerReady: [6, 'bool'],
  },
  /** Followed by `[0x0e01, crc32c]? [metadata size] [MessageMetadata] [payload]`. */
  CommandSend: {
    producerId: [1, 'uint64'],
    sequenceId: [2, 'uint64'],
    /** Default 1. */
    numMessages: [3, 'int32'],
    txnidLeastBits: [4, 'uint64'],
    txnidMostBits: [5, 'uint64'],
    highestSequenceId: [6, 'uint64'],
    isChunk: [7, 'bool'],
    marker: [8, 'bool'],
    messageId: [9, 'MessageIdData'],
  },
  CommandSendReceipt: {
    producerId: [1, 'uint64'],
    sequenceId: [2, 'uint64'],
    messageId: [3, 'MessageIdData'],
    highestSequenceId: [4, 'uint64'],
  },
  CommandSendError: {
    producerId: [1, 'uint64'],
    sequenceId: [2, 'uint64'],
    /** SERVER_ERROR */
    error: [3, 'int32'],
    message: [4, 'string'],
  },
  CommandCloseProducer: {
    producerId: [1, 'uint64'],
    requestId: [2, 'uint64'],
    assignedBrokerServiceUrl: [3, 'string'],
    assignedBrokerServiceUrlTls: [4, 'string'],
  },

  /** Followed by `[0x0e02, size, BrokerEntryMetadata]? [0x0e01, crc32c]? [metadata size] [MessageMetadata] [payload]`. */
  CommandMessage: {
    consumerId: [1, 'uint64'],
    messageId: [2, 'MessageIdData'],
    redeliveryCount: [3, 'uint32'],
    ackSet: [4, 'int64', 'repeated'],
    consumerEpoch: [5, 'uint64'],
  },
  CommandAck: {
    consumerId: [1, 'uint64'],
    /** ACK_TYPE */
    ackType: [2, 'int32'],
    messageId: [3, 'MessageIdData', 'repeated'],
    validationError: [4, 'int32'],
    properties: [5, 'KeyLongValue', 'repeated'],
    txnidLeastBits: [6, 'uint64'],
    txnidMostBits: [7, 'uint64'],
    /** Asks for a receipt (protocol 17 and later). */
    requestId: [8, 'uint64'],
  },
  CommandAckResponse: {
    consumerId: [1, 'uint64'],
    txnidLeastBits: [2, 'uint64'],
    txnidMostBits: [3, 'uint64'],
    error: [4, 'int32'],
    message: [5, 'string'],
    requestId: [6, 'uint64'],
  },
  CommandActiveConsumerChange: {
    consumerId: [1, 'uint64'],
    isActive: [2, 'bool'],
  },
  CommandFlow: {
    consumerId: [1, 'uint64'],
    /** Added to the permits given before. */
    messagePermits: [2, 'uint32'],
  },
  CommandRedeliverUnacknowledgedMessages: {
    consumerId: [1, 'uint64'],
    /** None: all. */
    messageIds: [2, 'MessageIdData', 'repeated'],
    consumerEpoch: [3, 'uint64'],
  },
  CommandSeek: {
    consumerId: [1, 'uint64'],
    requestId: [2, 'uint64'],
    messageId: [3, 'MessageIdData'],
    messagePublishTime: [4, 'uint64'],
  },
  CommandReachedEndOfTopic: {
    consumerId: [1, 'uint64'],
  },
  CommandTopicMigrated: {
    resourceId: [1, 'uint64'],
    resourceType: [2, 'int32'],
    brokerServiceUrl: [3, 'string'],
    brokerServiceUrlTls: [4, 'string'],
  },
  CommandCloseConsumer: {
    consumerId: [1, 'uint64'],
    requestId: [2, 'uint64'],
    assignedBrokerServiceUrl: [3, 'string'],
    assignedBrokerServiceUrlTls: [4, 'string'],
  },
  CommandConsumerStats: {
    requestId: [1, 'uint64'],
    consumerId: [4, 'uint64'],
  },
  CommandConsumerStatsResponse: {
    requestId: [1, 'uint64'],
    errorCode: [2, 'int32'],
    errorMessage: [3, 'string'],
    msgRateOut: [4, 'double'],
    msgThroughputOut: [5, 'double'],
    msgRateRedeliver: [6, 'double'],
    consumerName: [7, 'string'],
    availablePermits: [8, 'uint64'],
    unackedMessages: [9, 'uint64'],
    blockedConsumerOnUnackedMsgs: [10, 'bool'],
    address: [11, 'string'],
    connectedSince: [12, 'string'],
    type: [13, 'string'],
    msgRateExpired: [14, 'double'],
    /** In entries. */
    msgBacklog: [15, 'uint64'],
    messageAckRate: [16, 'double'],
  },
  CommandGetLastMessageId: {
    consumerId: [1, 'uint64'],
    requestId: [2, 'uint64'],
  },
  CommandGetLastMessageIdResponse: {
    lastMessageId: [1, 'MessageIdData'],
    requestId: [2, 'uint64'],
    consumerMarkDeletePosition: [3, 'MessageIdData'],
  },
  CommandGetTopicsOfNamespace: {
    requestId: [1, 'uint64'],
    namespace: [2, 'string'],
    mode: [3, 'int32'],
    topicsPattern: [4, 'string'],
    topicsHash: [5, 'string'],
  },
  CommandGetTopicsOfNamespaceResponse: {
    requestId: [1, 'uint64'],
    topics: [2, 'string', 'repeated'],
    filtered: [3, 'bool'],
    topicsHash: [4, 'string'],
    changed: [5, 'bool'],
  },
  CommandGetSchema: {
    requestId: [1, 'uint64'],
    topic: [2, 'string'],
    schemaVersion: [3, 'bytes'],
  },
  CommandGetSchemaResponse: {
    requestId: [1, 'uint64'],
    errorCode: [2, 'int32'],
    errorMessage: [3, 'string'],
    schema: [4, 'Schema'],
    schemaVersion: [5, 'bytes'],
  },
  CommandGetOrCreateSchema: {
    requestId: [1, 'uint64'],
    topic: [2, 'string'],
    schema: [3, 'Schema'],
    producerName: [4, 'string'],
  },
  CommandGetOrCreateSchemaResponse: {
    requestId: [1, 'uint64'],
    errorCode: [2, 'int32'],
    errorMessage: [3, 'string'],
    schemaVersion: [4, 'bytes'],
  },
  CommandAddSubscriptionToTxn: {
    requestId: [1, 'uint64'],
    txnidLeastBits: [2, 'uint64'],
    /** The coordinator's number. */
    txnidMostBits: [3, 'uint64'],
  },
  CommandAddSubscriptionToTxnResponse: {
    requestId: [1, 'uint64'],
    txnidLeastBits: [2, 'uint64'],
    txnidMostBits: [3, 'uint64'],
    /** SERVER_ERROR */
    error: [4, 'int32'],
    message: [5, 'string'],
  },
  CommandSuccess: {
    requestId: [1, 'uint64'],
    schema: [2, 'Schema'],
  },
  CommandError: {
    /** 2^64-1 where it answers CONNECT. */
    requestId: [1, 'uint64'],
    /** SERVER_ERROR */
    error: [2, 'int32'],
    message: [3, 'string'],
  },
  CommandPing: {},
  CommandPong: {},

  /** `type` equals the number of the one sub-message that is present. */
  BaseCommand: {
    type: [1, 'int32'],
    connect: [2, 'CommandConnect'],
    connected: [3, 'CommandConnected'],
    subscribe: [4, 'CommandSubscribe'],
    producer: [5, 'CommandProducer'],
    send: [6, 'CommandSend'],
    sendReceipt: [7, 'CommandSendReceipt'],
    sendError: [8, 'CommandSendError'],
    message: [9, 'CommandMessage'],
    ack: [10, 'CommandAck'],
    flow: [11, 'CommandFlow'],
    unsubscribe: [12, 'CommandUnsubscribe'],
    success: [13, 'CommandSuccess'],
    error: [14, 'CommandError'],
    closeProducer: [15, 'CommandCloseProducer'],
    closeConsumer: [16, 'CommandCloseConsumer'],
    producerSuccess: [17, 'CommandProducerSuccess'],
    ping: [18, 'CommandPing'],
    pong: [19, 'CommandPong'],
    redeliverUnacknowledgedMessages: [20, 'CommandRedeliverUnacknowledgedMessages'],
    partitionMetadata: [21, 'CommandPartitionedTopicMetadata'],
    partitionMetadataResponse: [22, 'CommandPartitionedTopicMetadataResponse'],
    lookupTopic: [23, 'CommandLookupTopic'],
    lookupTopicResponse: [24, 'CommandLookupTopicResponse'],
    consumerStats: [25, 'CommandConsumerStats'],
    consumerStatsResponse: [26, 'CommandConsumerStatsResponse'],
    reachedEndOfTopic: [27, 'CommandReachedEndOfTopic'],
    seek: [28, 'CommandSeek'],
    getLastMessageId: [29, 'CommandGetLastMessageId'],
    getLastMessageIdResponse: [30, 'CommandGetLastMessageIdResponse'],
    activeConsumerChange: [31, 'CommandActiveConsumerChange'],
    getTopicsOfNamespace: [32, 'CommandGetTopicsOfNamespace'],
    getTopicsOfNamespaceResponse: [33, 'CommandGetTopicsOfNamespaceResponse'],
    getSchema: [34, 'CommandGetSchema'],
    getSchemaResponse: [35, 'CommandGetSchemaResponse'],
    authChallenge: [36, 'CommandAuthChallenge'],
    authResponse: [37, 'CommandAuthResponse'],
    ackResponse: [38, 'CommandAckResponse'],
    getOrCreateSchema: [39, 'CommandGetOrCreateSchema'],
    getOrCreateSchemaResponse: [40, 'CommandGetOrCreateSchemaResponse'],
    addSubscriptionToTxn: [54, 'CommandAddSubscriptionToTxn'],
    addSubscriptionToTxnResponse: [55, 'CommandAddSubscriptionToTxnResponse'],
    topicMigrated: [68, 'CommandTopicMigrated'],
  },
} as const satisfies Record<string, Record<string, FieldTable>>;

/** MessageMetadata.compression */
export const COMPRESSION_TYPE = { NONE: 0, LZ4: 1, ZLIB: 2, ZSTD: 3, SNAPPY: 4 } as const;

/** CommandSubscribe.subType */
export const SUBSCRIPTION_TYPE = { Exclusive: 0, Shared: 1, Failover: 2, Key_Shared: 3 } as const;

/** CommandSubscribe.initialPosition */
export const INITIAL_POSITION = { Latest: 0, Earliest: 1 } as const;

/** KeySharedMeta.keySharedMode */
export const KEY_SHARED_MODE = { AUTO_SPLIT: 0, STICKY: 1 } as const;

/** CommandAck.ackType */
export const ACK_TYPE = { Individual: 0, Cumulative: 1 } as const;

/** CommandLookupTopicResponse.response */
export const LOOKUP_TYPE = { Redirect: 0, Connect: 1, Failed: 2 } as const;

/** CommandPartitionedTopicMetadataResponse.response */
export const PARTITIONED_METADATA_TYPE = { Success: 0, Failed: 1 } as const;

/** CommandProducer.producerAccessMode */
export const PRODUCER_ACCESS_MODE = {
  Shared: 0,
  Exclusive: 1,
  WaitForExclusive: 2,
  ExclusiveWithFencing: 3,
} as const;

/** Schema.type, by the names of `SchemaType` in the Java client (that of 5 is Bool in PulsarApi.proto, and so on). */
export const SCHEMA_TYPE = {
  NONE: 0,
  STRING: 1,
  JSON: 2,
  PROTOBUF: 3,
  AVRO: 4,
  BOOLEAN: 5,
  INT8: 6,
  INT16: 7,
  INT32: 8,
  INT64: 9,
  FLOAT: 10,
  DOUBLE: 11,
  DATE: 12,
  TIME: 13,
  TIMESTAMP: 14,
  KEY_VALUE: 15,
  INSTANT: 16,
  LOCAL_DATE: 17,
  LOCAL_TIME: 18,
  LOCAL_DATE_TIME: 19,
  PROTOBUF_NATIVE: 20,
  AUTO_CONSUME: 21,
  EXTERNAL: 22,
} as const;

/** Every `error` and `errorCode`. */
export const SERVER_ERROR = {
  UnknownError: 0,
  MetadataError: 1,
  PersistenceError: 2,
  AuthenticationError: 3,
  AuthorizationError: 4,
  ConsumerBusy: 5,
  ServiceNotReady: 6,
  ProducerBlockedQuotaExceededError: 7,
  ProducerBlockedQuotaExceededException: 8,
  ChecksumError: 9,
  UnsupportedVersionError: 10,
  TopicNotFound: 11,
  SubscriptionNotFound: 12,
  ConsumerNotFound: 13,
  TooManyRequests: 14,
  TopicTerminatedError: 15,
  ProducerBusy: 16,
  InvalidTopicName: 17,
  IncompatibleSchema: 18,
  ConsumerAssignError: 19,
  TransactionCoordinatorNotFound: 20,
  InvalidTxnStatus: 21,
  NotAllowedError: 22,
  TransactionConflict: 23,
  TransactionNotFound: 24,
  ProducerFenced: 25,
} as const;

/** Constants of the framing. Integers in frames are big-endian. */
export const FRAME = {
  /** Before the CRC-32C, u16. */
  checksumMagic: 0x0e01,
  /** Before the BrokerEntryMetadata, u16. */
  brokerEntryMetadataMagic: 0x0e02,
  /** Where CONNECTED names none. */
  defaultMaxMessageSizeBytes: 5 * 1024 * 1024,
  /** What a frame may have beyond the largest message. */
  paddingBytes: 10 * 1024,
} as const;
