import { describe, expect, it } from 'vitest';
import type { Delivery } from '../../../src/ports.ts';
import { batch, chunk, idOf, nativeFixture, single, TOPIC, take, textOf } from './fixture.ts';

const LATER_MS = 200;

describe('acknowledgements of the native driver', () => {
  it('are one cumulative one on Exclusive, up to the last message of the last entry', async () => {
    const fixture = nativeFixture(batch(0, 2), batch(1, 3), batch(2, 2));
    const partition = await fixture.open();
    const entries = await take(partition, 3);
    await partition.acknowledge(entries.slice(0, 2).map(idOf));
    expect(fixture.consumer().acks).toEqual(['through (7,1,-1,2)']);
    await fixture.pulsar.clock.sleep(LATER_MS);
    expect(fixture.pulsar.backlog(TOPIC.full, 'backup')).toBe(1);
  });

  it.each(['shared', 'key_shared'] as const)('are one for every message of the list on %s', async (type) => {
    const fixture = nativeFixture(batch(0, 2), batch(1, 3), single(2));
    const partition = await fixture.open({ subscriptionType: type });
    const [, second, third] = await take(partition, 3);
    await partition.acknowledge([idOf(second), idOf(third)]);
    expect(fixture.consumer().acks).toEqual([
      'one (7,1,-1,0)',
      'one (7,1,-1,1)',
      'one (7,1,-1,2)',
      'one (7,2,-1,-1)',
    ]);
    await fixture.pulsar.clock.sleep(LATER_MS);
    expect(fixture.pulsar.backlog(TOPIC.full, 'backup')).toBe(1);
  });

  it('leave with the close, so that the next run begins after them', async () => {
    const fixture = nativeFixture(single(0), single(1));
    const source = fixture.source();
    const opened = await source.open();
    if (opened === 'busy' || opened[0] === undefined) throw new Error('not opened');
    await opened[0].acknowledge([idOf((await take(opened[0], 1))[0])]);
    await source.close();
    expect(fixture.pulsar.backlog(TOPIC.full, 'backup')).toBe(1);
    expect((await take(await fixture.open(), 2)).map(textOf)).toEqual([['1'], 'idle']);
  });

  it('go to a new consumer where the connection is lost, for the old one would lose them', async () => {
    const fixture = nativeFixture(single(0));
    const partition = await fixture.open();
    const id = idOf((await take(partition, 1))[0]);
    fixture.consumer().connected = false;
    await partition.acknowledge([id]);
    await partition.acknowledge([id]);
    expect(fixture.pulsar.consumers.map(({ acks }) => acks)).toEqual([[], ['through (7,0,-1,-1)']]);
    await fixture.pulsar.clock.sleep(LATER_MS);
    expect(fixture.pulsar.backlog(TOPIC.full, 'backup')).toBe(0);
  });

  it('are in doubt when the connection breaks under them, and asked again of a new consumer', async () => {
    const fixture = nativeFixture(single(0));
    const partition = await fixture.open();
    const id = idOf((await take(partition, 1))[0]);
    const consumer = fixture.consumer();
    consumer.breaksAtAck = true;
    await expect(partition.acknowledge([id])).rejects.toMatchObject({ code: 'source', retryable: true });
    await fixture.pulsar.clock.sleep(LATER_MS);
    // libpulsar has connected it again by now, and takes the entry for acknowledged.
    consumer.reconnect();
    await partition.acknowledge([id]);
    await fixture.pulsar.clock.sleep(LATER_MS);
    expect(fixture.pulsar.backlog(TOPIC.full, 'backup')).toBe(0);
  });

  it('are asked again where another consumer takes the place of the one they were given to', async () => {
    const fixture = nativeFixture(single(0));
    const partition = await fixture.open();
    const id = idOf((await take(partition, 1))[0]);
    fixture.consumer().acksTakeMs = 50;
    const acknowledged = partition.acknowledge([id]).catch((error: unknown) => error);
    await partition.restart();
    expect(await acknowledged).toMatchObject({ code: 'source', retryable: true });
    await partition.acknowledge([id]);
    await fixture.pulsar.clock.sleep(LATER_MS);
    expect(fixture.pulsar.backlog(TOPIC.full, 'backup')).toBe(0);
  });

  it('behind a gap are one for each entry, so that the chunks in the gap stay unacknowledged', async () => {
    const fixture = nativeFixture(single(0), single(1), chunk(2), batch(3, 2), single(4));
    const partition = await fixture.open();
    await partition.acknowledge((await take(partition, 4)).map(idOf));
    expect(fixture.consumer().acks).toEqual([
      'through (7,1,-1,-1)',
      'one (7,3,-1,0)',
      'one (7,3,-1,1)',
      'one (7,4,-1,-1)',
    ]);
    await fixture.pulsar.clock.sleep(LATER_MS);
    expect(fixture.pulsar.backlog(TOPIC.full, 'backup')).toBe(1);
    fixture.pulsar.publish(TOPIC.full, { ...single(5), firstChunk: 2 });
    await partition.acknowledge((await take(partition, 1)).map(idOf));
    expect(fixture.consumer().acks.at(-1)).toBe('one (7,2,-1,-1);(7,5,-1,-1)');
    await fixture.pulsar.clock.sleep(LATER_MS);
    expect(fixture.pulsar.backlog(TOPIC.full, 'backup')).toBe(0);
  });

  it('on shared are only of the messages of the first delivery, where an entry comes twice', async () => {
    const fixture = nativeFixture();
    const partition = await fixture.open({ subscriptionType: 'shared' });
    const consumer = fixture.consumer();
    consumer.cuts.push(2);
    fixture.pulsar.publish(TOPIC.full, batch(0, 4));
    const next = partition.next(1_000);
    await fixture.pulsar.clock.sleep(150);
    consumer.loseQueue();
    fixture.pulsar.publish(TOPIC.full, single(1));
    const short = await next;
    await take(partition, 1);
    expect(textOf(short)).toEqual(['0.0', '0.1']);
    consumer.redeliver();
    expect(textOf((await take(partition, 1))[0] as Delivery)).toEqual(['0.0', '0.1', '0.2', '0.3']);
    await partition.acknowledge([idOf(short)]);
    await fixture.pulsar.clock.sleep(LATER_MS);
    expect(fixture.pulsar.backlog(TOPIC.full, 'backup')).toBe(2);
  });

  it('are refused for what this consumer never got', async () => {
    const partition = await nativeFixture(single(0)).open();
    await take(partition, 1);
    await expect(partition.acknowledge([{ ledgerId: 7, entryId: 9 }])).rejects.toMatchObject({
      code: 'source',
      retryable: false,
    });
  });
});

describe('a partition taken again', () => {
  it('begins at the first unacknowledged entry, and nothing from before comes after', async () => {
    const fixture = nativeFixture(single(0), single(1), batch(2, 2));
    const partition = await fixture.open();
    fixture.consumer().cuts.push(3);
    const [first] = await take(partition, 1);
    await partition.acknowledge([idOf(first)]);
    await partition.restart();
    expect(fixture.pulsar.consumers).toHaveLength(2);
    expect(fixture.pulsar.consumers[0]?.isOpen).toBe(false);
    expect((await take(partition, 3)).map(textOf)).toEqual([['1'], ['2.0', '2.1'], 'idle']);
  });

  it('is not disturbed by the receive that was under way', async () => {
    const fixture = nativeFixture(single(0));
    const partition = await fixture.open();
    await take(partition, 1);
    expect(await partition.next(10)).toEqual({ kind: 'idle' });
    await partition.restart();
    expect((await take(partition, 2)).map(textOf)).toEqual([['0'], 'idle']);
  });

  it('may be tried again when the broker refuses at first', async () => {
    const fixture = nativeFixture(single(0));
    const partition = await fixture.open();
    fixture.pulsar.faults.push({ at: 'subscribe', text: 'Failed to create consumer: ServiceUnitNotReady' });
    await expect(partition.restart()).rejects.toMatchObject({ code: 'source', retryable: true });
    await partition.restart();
    expect(textOf(await partition.next(1_000))).toEqual(['0']);
  });
});
