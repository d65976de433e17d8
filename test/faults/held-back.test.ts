// The broker keeps something back, or reports less than there is: no run fails for it, none waits for nothing, and what
// comes later is stored then. The whole product on stand-ins.
// @module-tag faults
import { describe, expect } from 'vitest';
import type { SourcePartition } from '../../src/ports.ts';
import { openSource, take } from '../pulsar/wire/loopback-source.ts';
import { itWithStage, type RunStage, SUBSCRIPTION } from '../stage/loopback-stage.ts';

for (const subscriptionType of ['exclusive', 'failover']) {
  describe(`on a subscription of type ${subscriptionType}`, () => {
    const it = itWithStage({ subscriptionType, partitions: 1 });

    const partition = (stage: RunStage) => `${stage.topic}-partition-0`;

    /** Acknowledges the last `count` entries one by one, as somebody else who has the subscription. */
    async function acknowledgeLast(stage: RunStage, count: number): Promise<void> {
      const { source, partitions } = await openSource(stage.broker, { subscriptionType: 'shared' });
      const [first] = partitions as [SourcePartition];
      const entries = await take(first, stage.backlog());
      await first.acknowledge(entries.slice(-count).map(({ id }) => id));
      await source.close();
    }

    it.for([
      ['published in', () => true],
      ['acknowledged in', (subscription: string) => subscription === SUBSCRIPTION],
    ] as const)(
      'messages %s an open transaction are named soon, and stored when it ends',
      async ([, isHeldFor], { stage }) => {
        stage.publish(100);
        stage.broker.faults.keepsBack = (subscription, { place }) => isHeldFor(subscription) && place >= 7;
        stage.broker.faults.hasTransactions = true;
        for (const messages of [70, 0]) {
          const { summary, error, lines } = await stage.run();
          expect(error).toBeUndefined();
          expect(summary).toMatchObject({ stopReason: 'caught_up', messages, heldBack: 'open transaction' });
          expect(summary?.backlog).toMatchObject({ entries: 3 });
          expect(summary?.durationMs).toBeLessThan(6_000);
          expect(lines).toContainEqual(
            expect.objectContaining({
              ...{ message: 'backlog held back', topic: partition(stage), entries: 3 },
              ...{ reason: 'open transaction', hint: expect.any(String) },
            }),
          );
        }
        stage.broker.faults.keepsBack = undefined;
        expect((await stage.run()).summary).toMatchObject({ messages: 30, backlog: { entries: 0 } });
        stage.expectExactlyOnce();
      },
    );

    it.for([
      ['is before them', (entries: readonly unknown[]) => entries[4]],
      ['is none', () => undefined],
    ] as const)(
      'the last messages are stored although the reported last id %s',
      async ([, lastEntry], { stage }) => {
        stage.publish(70);
        stage.broker.faults.lastEntry = lastEntry as typeof stage.broker.faults.lastEntry;
        const { summary, error } = await stage.run();
        expect(error).toBeUndefined();
        expect(summary).toMatchObject({ messages: 70, backlog: { entries: 0 } });
        expect(summary?.durationMs).toBeLessThan(3_000);
        stage.expectExactlyOnce();
      },
    );

    it.for([10, 3])(
      'of 10 entries the last %i, acknowledged by somebody else, are not waited for',
      async (n, { stage }) => {
        stage.publish(100);
        await acknowledgeLast(stage, n);
        const { summary, error } = await stage.run();
        expect(error).toBeUndefined();
        expect(summary).toMatchObject({ messages: 100 - 10 * n, backlog: { entries: 0 } });
        expect(summary).not.toHaveProperty('heldBack');
        expect(summary?.durationMs).toBeLessThan(2_000);
      },
    );

    it('a slow broker is waited for', async ({ stage }) => {
      stage.publish(100);
      let entries = 0;
      stage.broker.onAnswer((name) => {
        if (name !== 'message' || ++entries !== 8) return undefined;
        return new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 3_500));
      });
      const { summary, error } = await stage.run();
      expect(error).toBeUndefined();
      expect(summary).toMatchObject({ messages: 100, objects: 1, backlog: { entries: 0 } });
      stage.expectExactlyOnce();
    });
  });
}

for (const subscriptionType of ['exclusive', 'failover', 'shared', 'key_shared']) {
  describe(`a producer dies inside a message in chunks (${subscriptionType})`, () => {
    const it = itWithStage({ subscriptionType, partitions: 1 });

    const MINUTE_MS = 60_000;
    const MIB = 1_048_576;
    const publishChunk = (stage: RunStage, uuid: string, chunkId: number, ageMs: number, of = 3) =>
      stage.broker.appendEntry(
        `${stage.topic}-partition-0`,
        { uuid, chunkId, numChunksFromMsg: of, totalChunkMsgSize: of, publishTime: Date.now() - ageMs },
        Buffer.from(`${uuid}${chunkId}`),
      );
    const unreadable = (stage: RunStage) =>
      stage.cos.objects().filter(({ key }) => key.includes('_unreadable/'));

    it('its chunks are named until they are old, then kept raw and acknowledged', async ({ stage }) => {
      stage.publish(20);
      publishChunk(stage, 'dead', 0, 2 * MINUTE_MS);
      publishChunk(stage, 'dead', 1, 2 * MINUTE_MS);
      stage.publish(20);
      for (const messages of [40, 0]) {
        const { summary, error, lines } = await stage.run();
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
      const { summary, error } = await stage.run({ env: { RUN_CHUNK_EXPIRY_MINUTES: '1' } });
      expect(error).toBeUndefined();
      expect(summary).toMatchObject({ unreadable: 1, backlog: { entries: 0 } });
      expect(summary).not.toHaveProperty('heldBack');
      expect(unreadable(stage)).toHaveLength(2);
      stage.expectExactlyOnce();
    });

    it('nothing else is acknowledged with them, and what comes to its end meanwhile is stored', async ({
      stage,
    }) => {
      publishChunk(stage, 'young', 0, 0, 2);
      stage.publish(10);
      publishChunk(stage, 'dead', 0, 2 * MINUTE_MS);
      stage.publish(10);
      const env = { RUN_CHUNK_EXPIRY_MINUTES: '1' };
      expect((await stage.run({ env })).summary).toMatchObject({
        ...{ messages: 20, unreadable: 1, backlog: { entries: 1 }, heldBack: 'incomplete chunks' },
      });
      publishChunk(stage, 'young', 1, 0, 2);
      expect((await stage.run({ env })).summary).toMatchObject({ messages: 1, backlog: { entries: 0 } });
    });

    it('messages that are whole, and too large for memory beside each other, are left for the next runs', async ({
      stage,
    }) => {
      const of = 5;
      const uuids = ['a', 'b', 'c', 'd'];
      for (const place of Array.from({ length: of }, (_, chunkId) => chunkId))
        for (const uuid of uuids)
          stage.broker.appendEntry(
            `${stage.topic}-partition-0`,
            {
              uuid,
              chunkId: place,
              numChunksFromMsg: of,
              totalChunkMsgSize: of * MIB,
              publishTime: Date.now(),
            },
            Buffer.alloc(MIB, uuid),
          );
      const first = await stage.run({ memoryMb: 128 });
      expect(first.error).toBeUndefined();
      expect(first.summary).toMatchObject({ unreadable: 0, heldBack: 'too little memory' });
      expect(first.lines.map(({ message }) => message)).not.toContain('chunked message incomplete');
      expect(first.lines).toContainEqual(
        expect.objectContaining({
          ...{ message: 'chunked message left for a later run', uuid: 'd' },
          hint: expect.stringContaining('memorySize'),
        }),
      );
      const second = await stage.run({ memoryMb: 128 });
      expect(second.summary).toMatchObject({ unreadable: 0, backlog: { entries: 0 } });
      expect((first.summary?.messages ?? 0) + (second.summary?.messages ?? 0)).toBe(uuids.length);
    });

    it('with RUN_ON_UNREADABLE=fail the run stores everything else, and fails', async ({ stage }) => {
      publishChunk(stage, 'dead', 0, 2 * MINUTE_MS);
      stage.publish(20);
      const env = { RUN_CHUNK_EXPIRY_MINUTES: '1', RUN_ON_UNREADABLE: 'fail' };
      const { error } = await stage.run({ env });
      expect(error).toMatchObject({ code: 'corrupt' });
      expect(stage.backlog()).toBe(1);
      expect(unreadable(stage)).toEqual([]);
      stage.expectExactlyOnce();
    });
  });
}
