// The broker keeps something back, or reports less than there is: no run fails for it, none waits for nothing, and what
// comes later is stored then. The whole product on stand-ins.
import { describe, expect } from 'vitest';
import type { SourcePartition } from '../../src/ports.ts';
import { openSource, take } from '../pulsar/wire/loopback-source.ts';
import { itWithStack, type Stack, SUBSCRIPTION } from './stack.ts';

for (const subscriptionType of ['exclusive', 'failover']) {
  describe(`on a subscription of type ${subscriptionType}`, () => {
    const it = itWithStack({ subscriptionType, partitions: 1 });

    const partition = (stack: Stack) => `${stack.topic}-partition-0`;

    /** Acknowledges the last `count` entries one by one, as somebody else who has the subscription. */
    async function acknowledgeLast(stack: Stack, count: number): Promise<void> {
      const { source, partitions } = await openSource(stack.broker, { subscriptionType: 'shared' });
      const [first] = partitions as [SourcePartition];
      const entries = await take(first, stack.backlog());
      await first.acknowledge(entries.slice(-count).map(({ id }) => id));
      await source.close();
    }

    it.for([
      ['published in', () => true],
      ['acknowledged in', (subscription: string) => subscription === SUBSCRIPTION],
    ] as const)(
      'messages %s an open transaction are named soon, and stored when it ends',
      async ([, isHeldFor], { stack }) => {
        stack.publish(100);
        stack.broker.faults.keepsBack = (subscription, { place }) => isHeldFor(subscription) && place >= 7;
        stack.broker.faults.hasTransactions = true;
        for (const messages of [70, 0]) {
          const { summary, error, lines } = await stack.run();
          expect(error).toBeUndefined();
          expect(summary).toMatchObject({ stopReason: 'caught_up', messages, heldBack: 'open transaction' });
          expect(summary?.backlog).toMatchObject({ entries: 3 });
          expect(summary?.durationMs).toBeLessThan(6_000);
          expect(lines).toContainEqual(
            expect.objectContaining({
              ...{ message: 'backlog held back', topic: partition(stack), entries: 3 },
              ...{ reason: 'open transaction', hint: expect.any(String) },
            }),
          );
        }
        stack.broker.faults.keepsBack = undefined;
        expect((await stack.run()).summary).toMatchObject({ messages: 30, backlog: { entries: 0 } });
        stack.expectExactlyOnce();
      },
    );

    it.for([
      ['is before them', (entries: readonly unknown[]) => entries[4]],
      ['is none', () => undefined],
    ] as const)(
      'the last messages are stored although the reported last id %s',
      async ([, lastEntry], { stack }) => {
        stack.publish(70);
        stack.broker.faults.lastEntry = lastEntry as typeof stack.broker.faults.lastEntry;
        const { summary, error } = await stack.run();
        expect(error).toBeUndefined();
        expect(summary).toMatchObject({ messages: 70, backlog: { entries: 0 } });
        expect(summary?.durationMs).toBeLessThan(3_000);
        stack.expectExactlyOnce();
      },
    );

    it.for([10, 3])(
      'of 10 entries the last %i, acknowledged by somebody else, are not waited for',
      async (n, { stack }) => {
        stack.publish(100);
        await acknowledgeLast(stack, n);
        const { summary, error } = await stack.run();
        expect(error).toBeUndefined();
        expect(summary).toMatchObject({ messages: 100 - 10 * n, backlog: { entries: 0 } });
        expect(summary).not.toHaveProperty('heldBack');
        expect(summary?.durationMs).toBeLessThan(2_000);
      },
    );

    it('a slow broker is waited for', async ({ stack }) => {
      stack.publish(100);
      let entries = 0;
      stack.broker.onAnswer((name) => {
        if (name !== 'message' || ++entries !== 8) return undefined;
        return new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 3_500));
      });
      const { summary, error } = await stack.run();
      expect(error).toBeUndefined();
      expect(summary).toMatchObject({ messages: 100, objects: 1, backlog: { entries: 0 } });
      stack.expectExactlyOnce();
    });
  });
}

for (const subscriptionType of ['exclusive', 'failover', 'shared', 'key_shared']) {
  describe(`a producer dies inside a message in chunks (${subscriptionType})`, () => {
    const it = itWithStack({ subscriptionType, partitions: 1 });

    const MINUTE_MS = 60_000;
    const MIB = 1_048_576;
    const publishChunk = (stack: Stack, uuid: string, chunkId: number, ageMs: number, of = 3) =>
      stack.broker.appendEntry(
        `${stack.topic}-partition-0`,
        { uuid, chunkId, numChunksFromMsg: of, totalChunkMsgSize: of, publishTime: Date.now() - ageMs },
        Buffer.from(`${uuid}${chunkId}`),
      );
    const unreadable = (stack: Stack) =>
      stack.cos.objects().filter(({ key }) => key.includes('_unreadable/'));

    it('its chunks are named until they are old, then kept raw and acknowledged', async ({ stack }) => {
      stack.publish(20);
      publishChunk(stack, 'dead', 0, 2 * MINUTE_MS);
      publishChunk(stack, 'dead', 1, 2 * MINUTE_MS);
      stack.publish(20);
      for (const messages of [40, 0]) {
        const { summary, error, lines } = await stack.run();
        expect(error).toBeUndefined();
        expect(summary).toMatchObject({ messages, unreadable: 0, heldBack: 'incomplete chunks' });
        expect(summary?.backlog).toMatchObject({ entries: 2 });
        expect(summary?.durationMs).toBeLessThan(3_000);
        expect(lines).toContainEqual(
          expect.objectContaining({
            ...{ message: 'chunked message incomplete', uuid: 'dead', held: 2, chunks: 3 },
            ...{ firstEntry: expect.stringMatching(/^\d+:2$/), publishTime: expect.any(String) },
          }),
        );
      }
      const { summary, error } = await stack.run({ env: { RUN_CHUNK_EXPIRY_MINUTES: '1' } });
      expect(error).toBeUndefined();
      expect(summary).toMatchObject({ unreadable: 1, backlog: { entries: 0 } });
      expect(summary).not.toHaveProperty('heldBack');
      expect(unreadable(stack)).toHaveLength(2);
      stack.expectExactlyOnce();
    });

    it('nothing else is acknowledged with them, and what comes to its end meanwhile is stored', async ({
      stack,
    }) => {
      publishChunk(stack, 'young', 0, 0, 2);
      stack.publish(10);
      publishChunk(stack, 'dead', 0, 2 * MINUTE_MS);
      stack.publish(10);
      const env = { RUN_CHUNK_EXPIRY_MINUTES: '1' };
      expect((await stack.run({ env })).summary).toMatchObject({
        ...{ messages: 20, unreadable: 1, backlog: { entries: 1 }, heldBack: 'incomplete chunks' },
      });
      publishChunk(stack, 'young', 1, 0, 2);
      expect((await stack.run({ env })).summary).toMatchObject({ messages: 1, backlog: { entries: 0 } });
    });

    it('messages that are whole, and too large for memory beside each other, are left for the next runs', async ({
      stack,
    }) => {
      const of = 5;
      const uuids = ['a', 'b', 'c', 'd'];
      for (const place of Array.from({ length: of }, (_, chunkId) => chunkId))
        for (const uuid of uuids)
          stack.broker.appendEntry(
            `${stack.topic}-partition-0`,
            {
              uuid,
              chunkId: place,
              numChunksFromMsg: of,
              totalChunkMsgSize: of * MIB,
              publishTime: Date.now(),
            },
            Buffer.alloc(MIB, uuid),
          );
      const first = await stack.run({ memoryMb: 128 });
      expect(first.error).toBeUndefined();
      expect(first.summary).toMatchObject({ unreadable: 0, heldBack: 'too little memory' });
      expect(first.lines.map(({ message }) => message)).not.toContain('chunked message incomplete');
      expect(first.lines).toContainEqual(
        expect.objectContaining({
          ...{ message: 'chunked message left for a later run', uuid: 'd' },
          hint: expect.stringContaining('memorySize'),
        }),
      );
      const second = await stack.run({ memoryMb: 128 });
      expect(second.summary).toMatchObject({ unreadable: 0, backlog: { entries: 0 } });
      expect((first.summary?.messages ?? 0) + (second.summary?.messages ?? 0)).toBe(uuids.length);
    });

    it('with RUN_ON_UNREADABLE=fail the run stores everything else, and fails', async ({ stack }) => {
      publishChunk(stack, 'dead', 0, 2 * MINUTE_MS);
      stack.publish(20);
      const env = { RUN_CHUNK_EXPIRY_MINUTES: '1', RUN_ON_UNREADABLE: 'fail' };
      const { error } = await stack.run({ env });
      expect(error).toMatchObject({ code: 'corrupt' });
      expect(stack.backlog()).toBe(1);
      expect(unreadable(stack)).toEqual([]);
      stack.expectExactlyOnce();
    });
  });
}
