// The codec against what a real broker sent: Pulsar 4.0.7, recorded by test/integration/record-frames.ts. The expected
// values come from PulsarApi.proto, read by hand and by protoc, and from what was asked; no code of ours made them.
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { decodeMessage } from '../../../../src/pulsar/wire/protocol/codec.ts';
import { crc32c } from '../../../../src/pulsar/wire/protocol/crc32c.ts';
import {
  type CommandName,
  decodeCommand,
  encodeCommand,
} from '../../../../src/pulsar/wire/protocol/frame.ts';

const recorded: { command: CommandName; frame: string }[] = JSON.parse(
  readFileSync(new URL('../../../fixtures/frames/pulsar-4.0.7.json', import.meta.url), 'utf8'),
);
const TOPIC = 'persistent://public/default/frames';
/** -1 in an unsigned field of 64 bits. */
const NONE = 2n ** 64n - 1n;

/** Every command that the driver receives, with all its fields. */
const EXPECTED: Readonly<Partial<Record<CommandName, Readonly<Record<string, unknown>>>>> = {
  connected: {
    serverVersion: 'Pulsar Server4.0.7',
    protocolVersion: 21,
    maxMessageSize: 5_242_880,
    featureFlags: {
      supportsTopicWatchers: true,
      supportsGetPartitionedMetadataWithoutAutoCreation: true,
      supportsReplDedupByLidAndEid: true,
    },
  },
  // response 0: Success
  partitionMetadataResponse: { partitions: 3, requestId: 101, response: 0 },
  // response 1: Connect
  lookupTopicResponse: {
    brokerServiceUrl: 'pulsar://127.0.0.1:42723',
    response: 1,
    requestId: 102,
    authoritative: true,
    proxyThroughServiceUrl: true,
  },
  producerSuccess: {
    requestId: 103,
    producerName: 'p',
    lastSequenceId: -1,
    schemaVersion: Buffer.alloc(0),
    producerReady: true,
  },
  activeConsumerChange: { consumerId: 9, isActive: true },
  sendReceipt: {
    producerId: 7,
    sequenceId: 0,
    messageId: { ledgerId: 5, entryId: 0 },
    highestSequenceId: NONE,
  },
  message: { consumerId: 9, messageId: { ledgerId: 5, entryId: 0, partition: -1 } },
  consumerStatsResponse: {
    requestId: 105,
    msgRateOut: 0,
    msgThroughputOut: 0,
    msgRateRedeliver: 0,
    consumerName: 'c',
    availablePermits: 9,
    unackedMessages: 0,
    blockedConsumerOnUnackedMsgs: false,
    address: '/127.0.0.1:52636',
    connectedSince: '2026-11-28T04:21:42.155280737Z',
    type: 'Failover',
    msgRateExpired: 0,
    msgBacklog: 1,
    messageAckRate: 0,
  },
  getLastMessageIdResponse: {
    lastMessageId: { ledgerId: 5, entryId: 0, partition: -1, batchIndex: -1 },
    requestId: 106,
    consumerMarkDeletePosition: { ledgerId: 5, entryId: NONE },
  },
  ackResponse: { consumerId: 9, requestId: 107 },
  getTopicsOfNamespaceResponse: {
    requestId: 108,
    topics: [
      TOPIC,
      `${TOPIC}-end`,
      `${TOPIC}-parts-partition-0`,
      `${TOPIC}-parts-partition-1`,
      `${TOPIC}-parts-partition-2`,
    ],
    filtered: false,
    topicsHash: '1d40e85c',
    changed: true,
  },
  // error 20: TransactionCoordinatorNotFound
  addSubscriptionToTxnResponse: {
    requestId: 109,
    txnidLeastBits: 4,
    txnidMostBits: 3,
    error: 20,
    message: 'Transaction coordinator with id 3 not found!',
  },
  // error 1: MetadataError
  error: { requestId: 110, error: 1, message: 'Consumer not found' },
  success: { requestId: 111 },
  pong: {},
  reachedEndOfTopic: { consumerId: 10 },
  closeProducer: { producerId: 7, requestId: NONE },
  closeConsumer: { consumerId: 9, requestId: NONE },
  ping: {},
  // error 9: ChecksumError
  sendError: { producerId: 8, sequenceId: 1, error: 9, message: 'Checksum failed on the broker' },
  authChallenge: {
    challenge: { authMethodName: 'token', authData: Buffer.from('PulsarAuthRefresh') },
    protocolVersion: 21,
  },
};

it('every command that the driver receives was recorded', () => {
  expect(recorded.map(({ command }) => command).sort()).toEqual(Object.keys(EXPECTED).sort());
});

it.each(recorded)('$command of a real broker is read field by field', ({ command, frame }) => {
  const bytes = Buffer.from(frame, 'hex');
  const decoded = decodeCommand(bytes);
  expect(decoded?.name).toBe(command);
  expect(decoded?.fields).toEqual(EXPECTED[command]);
});

it.each(recorded)('$command of a real broker is written as that broker writes it', ({ command, frame }) => {
  const bytes = Buffer.from(frame, 'hex');
  const end = 4 + bytes.readUInt32BE(0);
  expect(
    encodeCommand(command, EXPECTED[command] ?? {})
      .subarray(4)
      .toString('hex'),
  ).toBe(bytes.subarray(0, end).toString('hex'));
});

it('what follows MESSAGE is a right checksum, the metadata that was published, and the payload', () => {
  const frame = Buffer.from(recorded.find(({ command }) => command === 'message')?.frame ?? '', 'hex');
  const entry = frame.subarray(decodeCommand(frame)?.end);
  expect(entry.readUInt16BE(0)).toBe(0x0e01);
  expect(crc32c(entry, 6)).toBe(entry.readUInt32BE(2));
  const end = 10 + entry.readUInt32BE(6);
  expect(decodeMessage('MessageMetadata', entry, 10, end)).toEqual({
    producerName: 'p',
    sequenceId: 0,
    publishTime: 1_700_000_000_000,
    partitionKey: 'k',
  });
  expect(entry.subarray(end).toString()).toBe('hello');
});
