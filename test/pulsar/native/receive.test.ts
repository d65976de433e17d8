import { describe, expect, it } from 'vitest';
import type { ReadableEntry, SourcePartition, UnreadableEntry } from '../../../src/ports.ts';
import type { NativeEncryptionContext } from '../../../src/pulsar/native/addon.ts';
import { batchSizeOf, parsePosition } from '../../../src/pulsar/native/message.ts';
import { batch, chunk, idOf, nativeFixture, single, TOPIC, take, textOf } from './fixture.ts';

describe('entries out of single messages', () => {
  it('leave whole although a batchReceive ends in their middle', async () => {
    const fixture = nativeFixture(batch(0, 3), batch(1, 5), batch(2, 2));
    const partition = await fixture.open();
    fixture.consumer().cuts.push(1, 4, 2);
    const entries = await take(partition, 4);
    expect(entries.map(textOf)).toEqual([
      ['0.0', '0.1', '0.2'],
      ['1.0', '1.1', '1.2', '1.3', '1.4'],
      ['2.0', '2.1'],
      'idle',
    ]);
  });

  it('are not held back once their last message has come', async () => {
    const fixture = nativeFixture(batch(0, 3));
    const partition = await fixture.open();
    const before = fixture.pulsar.clock.now();
    await take(partition, 1);
    expect(fixture.pulsar.clock.now() - before).toBeLessThanOrEqual(100);
  });

  it('are given up without their last messages only after waiting, and that is logged', async () => {
    const fixture = nativeFixture(batch(0, 3, { leftOut: [2] }));
    const partition = await fixture.open();
    const before = fixture.pulsar.clock.now();
    expect(textOf(await partition.next(200))).toEqual(['0.0', '0.1']);
    expect(fixture.pulsar.clock.now() - before).toBeGreaterThanOrEqual(3_000);
    expect(fixture.lines).toContainEqual(
      expect.objectContaining({ level: 'warn', message: 'entry delivered without its last messages' }),
    );
  });

  it('are complete without their last messages when a later entry follows', async () => {
    const partition = await nativeFixture(batch(0, 3, { leftOut: [0, 2] }), single(1)).open();
    expect((await take(partition, 2)).map(textOf)).toEqual([['0.1'], ['1']]);
  });

  it('are dropped half-received when the broker begins to deliver again', async () => {
    const fixture = nativeFixture(single(0), batch(1, 4));
    const partition = await fixture.open();
    const consumer = fixture.consumer();
    consumer.cuts.push(3);
    expect(textOf(await partition.next(1_000))).toEqual(['0']);
    // The rest of entry 1 is gone, as after a reconnect; then all of it comes from the beginning.
    consumer.reconnect();
    expect((await take(partition, 3)).map(textOf)).toEqual([['0'], ['1.0', '1.1', '1.2', '1.3'], 'idle']);
  });

  it('end the run when their rest comes after they were given up', async () => {
    const fixture = nativeFixture(batch(0, 3));
    const partition = await fixture.open();
    fixture.consumer().cuts.push(2, ...new Array(40).fill(0));
    expect(textOf(await partition.next(200))).toEqual(['0.0', '0.1']);
    fixture.consumer().cuts.length = 0;
    await expect(partition.next(1_000)).rejects.toMatchObject({ code: 'source', retryable: true });
  });

  it('are named by the last chunk of a chunked message', async () => {
    const partition = await nativeFixture({ ...single(5), firstChunk: 3 }).open();
    const [entry] = await take(partition, 1);
    expect(entry).toMatchObject({ kind: 'entry', id: { ledgerId: 7, entryId: 5 } });
    expect((entry as ReadableEntry).messages[0]?.id.batchIndex).toBe(-1);
  });
});

it('large messages are taken again with a queue as short as they need it, and none twice', async () => {
  const data = Buffer.alloc(4 * 2 ** 20);
  const fixture = nativeFixture(...Array.from({ length: 10 }, (_, n) => single(n, { data })));
  const entries = await take(await fixture.open(), 11);
  expect(entries.map((entry) => (entry.kind === 'entry' ? entry.id.entryId : entry.kind))).toEqual([
    ...Array.from({ length: 10 }, (_, n) => n),
    'idle',
  ]);
  const queues = fixture.pulsar.consumerConfigs.map(({ receiverQueueSize }) => receiverQueueSize);
  expect(queues).toEqual([1_000, 16]);
  expect(fixture.pulsar.consumers.map(({ isOpen }) => isOpen)).toEqual([false, true]);
});

it('large messages are taken with a shorter queue although the broker refuses the consumer at first', async () => {
  const data = Buffer.alloc(4 * 2 ** 20);
  const fixture = nativeFixture(single(0, { data }), single(1, { data }));
  const partition = await fixture.open();
  fixture.pulsar.faults.push({ at: 'subscribe', text: 'Failed to create consumer: ServiceUnitNotReady' });
  expect((await take(partition, 2)).map((entry) => idOf(entry).entryId)).toEqual([0, 1]);
});

describe('the fields of a message', () => {
  it('are all those that the client reports', async () => {
    const full = single(0, {
      data: Uint8Array.of(0, 255),
      key: 'k',
      orderingKey: 'o',
      properties: { b: '2', 0: 'zero', '': 'empty' },
      eventTime: 12,
      publishTime: 34,
      producer: 'p-1',
    });
    const [entry] = await take(await nativeFixture(full).open(), 1);
    const [message] = (entry as ReadableEntry).messages;
    expect(message).toEqual({
      id: { ledgerId: 7, entryId: 0, partition: -1, batchIndex: -1 },
      topic: 'persistent://t/ns/orders',
      publishTimeMs: 34,
      eventTimeMs: 12,
      key: 'k',
      orderingKey: Buffer.from('o'),
      properties: expect.arrayContaining([
        ['b', '2'],
        ['0', 'zero'],
        ['', 'empty'],
      ]),
      producer: 'p-1',
      sequenceId: undefined,
      schemaVersion: undefined,
      replicatedFrom: undefined,
      payload: Buffer.of(0, 255),
    });
    expect(message?.properties).toHaveLength(3);
  });

  it('have times of 64 bits as near as the client reports them: it rounds them to doubles, without a sign', async () => {
    const asClient = (timeMs: bigint) => Number(BigInt.asUintN(64, timeMs));
    const times = [
      [-86_400_000n, -1n],
      [2n ** 62n, 2n ** 53n - 1n],
    ] as const;
    const sent = times.map(([publishTime, eventTime], i) =>
      single(i, { publishTime: asClient(publishTime), eventTime: asClient(eventTime) }),
    );
    const entries = await take(await nativeFixture(...sent).open(), 2);
    const got = entries.map((entry) => (entry as ReadableEntry).messages[0]);
    const offMs = Number(got[0]?.publishTimeMs) + 86_400_000;
    expect(Math.abs(offMs)).toBeLessThanOrEqual(1_024);
    expect(got[0]?.eventTimeMs).toBeUndefined();
    expect(got[1]).toMatchObject({ publishTimeMs: 2n ** 62n, eventTimeMs: 2 ** 53 - 1 });
  });

  it('are absent where the message has none, and where the version of the client does not report it', async () => {
    const fixture = nativeFixture(single(0, { data: '', producer: 'p-1' }));
    fixture.pulsar.isOld = true;
    const [entry] = await take(await fixture.open(), 1);
    expect((entry as ReadableEntry).messages[0]).toMatchObject({
      eventTimeMs: undefined,
      key: undefined,
      orderingKey: undefined,
      properties: [],
      producer: undefined,
      payload: Buffer.alloc(0),
    });
  });

  it.each([['5'], ['five']])('are not silently fewer when a property is named length: %s', async (length) => {
    const partition = await nativeFixture(single(0, { properties: { length, a: '1' } })).open();
    await expect(partition.next(1_000)).rejects.toMatchObject({
      code: 'corrupt',
      hint: expect.stringContaining('PULSAR_DRIVER=wire'),
    });
  });
});

describe('what the client keeps back or drops', () => {
  const encryption: NativeEncryptionContext = {
    keys: [{ key: 'orders.key', value: Uint8Array.of(1, 2), metadata: { v: '1' } }],
    param: Uint8Array.of(9),
    algorithm: 'AES',
    compressionType: 'LZ4',
    uncompressedMessageSize: 99,
    batchSize: 4,
    isDecryptionFailed: true,
  };

  it('an encrypted entry is handed over raw, with all that is needed to decrypt it', async () => {
    const fixture = nativeFixture(single(0, { encryption, data: 'secret bytes' }), single(1));
    const [entry, after] = await take(await fixture.open(), 2);
    expect(fixture.pulsar.consumerConfigs[0]?.cryptoFailureAction).toBe('CONSUME');
    expect(entry).toMatchObject({ kind: 'unreadable', id: { ledgerId: 7, entryId: 0 } });
    const { raw, reason } = entry as UnreadableEntry;
    const [header, ...rest] = Buffer.from(raw[0]?.bytes as Uint8Array)
      .toString()
      .split('\n');
    expect(JSON.parse(header as string).encryption).toEqual({
      algorithm: 'AES',
      param: 'CQ==',
      keys: [{ key: 'orders.key', value: 'AQI=', metadata: { v: '1' } }],
      compression: 'LZ4',
      uncompressedSize: 99,
      batchSize: 4,
    });
    expect(rest).toEqual(['secret bytes']);
    expect(reason).toContain('orders.key');
    expect(textOf(after as ReadableEntry)).toEqual(['1']);
  });

  it('encrypted entries of a version that does not mark them fail the run, and nothing is acknowledged over them', async () => {
    const fixture = nativeFixture(single(0));
    fixture.pulsar.isOld = true;
    const partition = await fixture.open();
    expect(fixture.pulsar.consumerConfigs[0]?.cryptoFailureAction).toBeUndefined();
    const before = await take(partition, 1);
    fixture.pulsar.publish(TOPIC.full, single(1, { encryption }), single(2));
    await expect(partition.next(1_000)).rejects.toMatchObject({ code: 'corrupt' });
    await expect(partition.acknowledge(before.map(idOf))).rejects.toMatchObject({ code: 'corrupt' });
    expect(fixture.consumer().acks).toEqual([]);
  });

  it.each([
    [1, 'Removing expired chunk messages: uuid: p-1, messageId: (7,1,-1,-1)'],
    [3, 'Received an uncached chunk (uuid: p-1 chunkId: 1, messageId: (7,2,-1,-1))'],
  ])(
    'chunks that libpulsar drops fail the run, and nothing is acknowledged over them: %i %s',
    async (level, text) => {
      const fixture = nativeFixture(single(0));
      const partition = await fixture.open();
      const before = await take(partition, 1);
      fixture.pulsar.log(level, text);
      await expect(partition.next(1_000)).rejects.toMatchObject({ code: 'corrupt' });
      await expect(partition.acknowledge(before.map(idOf))).rejects.toMatchObject({
        code: 'corrupt',
        message: expect.stringContaining(text),
        hint: expect.stringContaining('PULSAR_DRIVER=wire'),
      });
      expect(fixture.consumer().acks).toEqual([]);
    },
  );

  it('a gap of entry ids is an error in the log of the run, counted', async () => {
    const corrupt = batch(1, 1, { isCorrupt: true });
    const fixture = nativeFixture(single(0), corrupt, batch(2, 1, { isCorrupt: true }), single(3));
    const source = fixture.source();
    const [partition] = (await source.open()) as [SourcePartition];
    await take(partition, 2);
    expect(fixture.lines.filter((line) => line.level === 'error')).toEqual([]);
    await source.close();
    expect(fixture.lines.filter((line) => line.level === 'error')).toEqual([
      {
        level: 'error',
        message:
          'entries never delivered: undecodable ones are dropped by this driver, markers look the same',
        fields: { topic: 'persistent://t/ns/orders', ledgerId: 7, fromEntryId: 1, toEntryId: 2, missing: 2 },
      },
    ]);
  });

  it('the chunks of a message, also between other entries, are no gap', async () => {
    const last = { ...single(3), firstChunk: 1 };
    const fixture = nativeFixture(single(0), chunk(1), single(2), last, single(4));
    const source = fixture.source();
    const [partition] = (await source.open()) as [SourcePartition];
    expect((await take(partition, 4)).map(textOf)).toEqual([['0'], ['2'], ['3'], ['4']]);
    await source.close();
    expect(fixture.lines.filter((line) => line.level === 'error')).toEqual([]);
  });

  it('the chunks of a message are joined although the connection breaks between them', async () => {
    const fixture = nativeFixture(chunk(0));
    const partition = await fixture.open();
    expect(await partition.next(100)).toEqual({ kind: 'idle' });
    fixture.pulsar.unload(TOPIC.full);
    fixture.pulsar.publish(TOPIC.full, { ...single(1), firstChunk: 0 });
    expect(textOf(await partition.next(2_000))).toEqual(['1']);
  });
});

describe('waiting for messages', () => {
  it('answers idle when libpulsar had nothing in the idle time, and delivers what comes later', async () => {
    const fixture = nativeFixture(single(0));
    const partition = await fixture.open();
    await take(partition, 1);
    const before = fixture.pulsar.clock.now();
    expect(await partition.next(250)).toEqual({ kind: 'idle' });
    expect(fixture.pulsar.clock.now() - before).toBe(300);
    fixture.pulsar.publish('persistent://t/ns/orders', single(1));
    expect(textOf(await partition.next(500))).toEqual(['1']);
  });

  it('asks libpulsar, and not the time, whether there is nothing', async () => {
    const fixture = nativeFixture(single(0));
    const partition = await fixture.open();
    await take(partition, 1);
    // What it has is handed over late, as when this thread was busy.
    fixture.consumer().handsOverAfterMs = 3_000;
    fixture.pulsar.publish('persistent://t/ns/orders', single(1));
    expect(textOf(await partition.next(500))).toEqual(['1']);
  });

  it('does not take a lost connection for a drained topic', async () => {
    const fixture = nativeFixture();
    const partition = await fixture.open();
    fixture.consumer().connected = false;
    fixture.pulsar.isDown = true;
    const before = fixture.pulsar.clock.now();
    await expect(partition.next(500)).rejects.toMatchObject({ code: 'source', retryable: true });
    expect(fixture.pulsar.clock.now() - before).toBeGreaterThanOrEqual(60_000);
  });

  it('goes on with a new consumer when the broker is back, and says so', async () => {
    const fixture = nativeFixture(single(0), single(1));
    const partition = await fixture.open();
    await take(partition, 1);
    fixture.consumer().connected = false;
    fixture.pulsar.isDown = true;
    const next = partition.next(500);
    await fixture.pulsar.clock.sleep(5_000);
    fixture.pulsar.isDown = false;
    expect([textOf(await next), ...(await take(partition, 1)).map(textOf)]).toEqual([['0'], ['1']]);
    expect(fixture.pulsar.consumers.map(({ isOpen }) => isOpen)).toEqual([false, true]);
    expect(fixture.lines.map(({ message }) => message)).toEqual(['consumer lost', 'consumer reconnected']);
  });

  it('gives a new consumer the time that a broker needs to begin, once', async () => {
    const fixture = nativeFixture();
    const partition = await fixture.open({ subscriptionType: 'failover' });
    const before = fixture.pulsar.clock.now();
    expect(await partition.next(100)).toEqual({ kind: 'idle' });
    expect(fixture.pulsar.clock.now() - before).toBeGreaterThanOrEqual(3_000);
    expect(await partition.next(100)).toEqual({ kind: 'idle' });
    expect(fixture.pulsar.clock.now() - before).toBeLessThan(3_500);
  });

  it('ends at once when the run ends', async () => {
    const fixture = nativeFixture();
    const partition = await fixture.open();
    const before = fixture.pulsar.clock.now();
    const next = partition.next(60_000);
    fixture.abort.abort();
    await expect(next).rejects.toMatchObject({ code: 'source' });
    expect(fixture.pulsar.clock.now() - before).toBeLessThan(1_000);
  });
});

describe('message ids of libpulsar', () => {
  /** As libpulsar 4 writes them: the text, and MessageIdData. */
  const nativeId = (text: string, hex: string) => ({
    toString: () => text,
    serialize: () => Buffer.from(hex, 'hex'),
  });

  it.each([
    ['(1,5,-1,1)', '08011005200130c801', 200, { ledgerId: 1, entryId: 5, batchIndex: 1 }],
    ['(1,0,-1,4)', '0801100020043005', 5, { ledgerId: 1, entryId: 0, batchIndex: 4 }],
    ['(1,1,-1,-1)', '08011001', undefined, { ledgerId: 1, entryId: 1, batchIndex: -1 }],
    [
      '(1,2,-1,-1);(1,4,-1,-1)',
      '080110043a0408011002',
      undefined,
      { entryId: 4, first: { ledgerId: 1, entryId: 2 } },
    ],
  ])('%s is read from its text, and the batch size from its bytes', (text, hex, batchSize, position) => {
    expect(parsePosition(nativeId(text, hex))).toMatchObject(position);
    expect(batchSizeOf(nativeId(text, hex))).toBe(batchSize);
  });

  it.each(['', '1:2:3:4', '(1,2,3)', '(a,2,3,4)'])('%j is none, and said to be so', (text) => {
    expect(() => parsePosition(nativeId(text, ''))).toThrow('message id');
  });
});
