import { expect, test } from 'vitest';
import {
  decodeFrame,
  decodeMetadata,
  encodeBrokerEntryMetadata,
  encodeEntry,
  encodeFrame,
  isChecksumRight,
} from '../../../src/local/broker/frames.ts';
import { encodeMessage } from '../../../src/pulsar/wire/protocol/codec.ts';

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');

test('frames are built as written down by hand from the schema', () => {
  // type 18, field 18 of length 0
  expect(encodeFrame('ping', {})).toEqual(hex('00000009 00000005 08 12 9201 00'));
  // type 3, field 3 { 1: "P", 2: 19, 3: 5242880 }
  expect(
    encodeFrame('connected', { serverVersion: 'P', protocolVersion: 19, maxMessageSize: 5_242_880 }),
  ).toEqual(hex('00000012 0000000e 08 03 1a0a 0a0150 10 13 18 8080c002'));
  // type 9, field 9 { 1: 0, 2: { 1: 300, 2: 2, 3: 1 }, 3: 4 }, then what follows the command
  const message = {
    consumerId: 0,
    messageId: { ledgerId: 300, entryId: 2, partition: 1 },
    redeliveryCount: 4,
  };
  expect(encodeFrame('message', message, hex('cafe'))).toEqual(
    hex('00000017 00000011 08 09 4a0d 0800 1207 08ac02 1002 1801 1804 cafe'),
  );
  // -1 as an unsigned 64-bit number is ten bytes
  expect(encodeMessage('CommandError', { requestId: -1, error: 3, message: '' })).toEqual(
    hex('08 ffffffffffffffffff01 10 03 1a 00'),
  );
});

test('frames of the official C++ client 4.2.0 are read for what they say', () => {
  const connect = hex(
    '0000002b 080212270a1150756c7361722d4350502d76342e322e301a03746f6b20142a05746f6b656e520408011001',
  );
  expect(decodeFrame(connect)).toMatchObject({
    name: 'connect',
    fields: {
      clientVersion: 'Pulsar-CPP-v4.2.0',
      authMethodName: 'token',
      authData: Buffer.from('tok'),
      protocolVersion: 20,
      featureFlags: { supportsAuthRefresh: true, supportsBrokerEntryMetadata: true },
    },
  });
  const subscribe = hex(
    '0000003a 080422360a1d70657273697374656e743a2f2f7075626c69632f64656661756c742f7412017318002000280032026d6538004001580068017000',
  );
  expect(decodeFrame(subscribe)).toMatchObject({
    name: 'subscribe',
    fields: {
      topic: 'persistent://public/default/t',
      subscription: 's',
      subType: 0,
      consumerId: 0,
      consumerName: 'me',
      durable: true,
      initialPosition: 1,
    },
  });
  const send = hex(
    '00000008 08063204080010070e011a3be7360000001e0a01701007189dc396dba03422060a016112016232016b6080d095ffbc3168656c6c6f',
  );
  const { name, fields, rest } = decodeFrame(send);
  expect([name, fields]).toEqual(['send', { producerId: 0, sequenceId: 7 }]);
  expect(isChecksumRight(rest)).toBe(true);
  expect(decodeMetadata(rest)).toEqual({
    producerName: 'p',
    sequenceId: 7,
    publishTime: 1_795_487_539_613,
    properties: [{ key: 'a', value: 'b' }],
    partitionKey: 'k',
    eventTime: 1_700_000_000_000,
  });
  expect(rest.subarray(-5).toString()).toBe('hello');
});

test('an entry is stored as the official client sends it', () => {
  const metadata = {
    producerName: 'p',
    sequenceId: 7,
    publishTime: 1_795_487_539_613,
    properties: [{ key: 'a', value: 'b' }],
    partitionKey: 'k',
    eventTime: 1_700_000_000_000,
  };
  expect(encodeEntry(metadata, Buffer.from('hello'))).toEqual(
    hex('0e011a3be7360000001e0a01701007189dc396dba03422060a016112016232016b6080d095ffbc3168656c6c6f'),
  );
});

test('broker entry metadata has its own magic number and size', () => {
  expect(encodeBrokerEntryMetadata({ brokerTimestamp: 1, index: 2 })).toEqual(hex('0e02 00000004 0801 1002'));
});
