// The contract of Source: what a driver knows of a subscription beside its entries. A driver that cannot know it says so.
import { describe, expect, it } from 'vitest';
import type { EntryId } from '../../src/ports.ts';
import { idsOf, type SourceContract, singles } from './source-contract.ts';

/** Where the subscription is, and what is behind that. */
export function describePositions(contract: SourceContract): void {
  const { can, openSource, topicWith, take, expectBacklog } = contract;

  describe('positions', () => {
    /** A topic of five entries, of which an earlier run has acknowledged two. */
    async function beganTopic() {
      const { topic, ids } = await topicWith(...singles(5));
      const { source, first } = await openSource({ topic });
      await first.acknowledge(idsOf(await take(first, 2)));
      await source.close();
      await expectBacklog(topic, 3);
      return { topic, ids };
    }

    it('are those of the subscription when the consumer came and when it left, where the driver learns them', async () => {
      const { topic, ids } = await beganTopic();
      const { source, first } = await openSource({ topic });
      await first.acknowledge(idsOf(await take(first, 3)).slice(0, 2));
      await source.close();
      const positions = first.positions();
      if (!can.positions) return expect(positions).toBeUndefined();
      expect(positions).toMatchObject({
        begin: { acknowledged: ids[1], last: ids[4] },
        isBeginKnown: true,
        end: { acknowledged: ids[3] },
      });
    });

    it('say how many entries were left at the start, where the driver can ask, and not how many are left now', async () => {
      const { topic } = await beganTopic();
      const { first } = await openSource({ topic });
      await first.acknowledge(idsOf(await take(first, 2)));
      expect(await first.entriesAtOpen()).toBe(can.positions ? 3 : undefined);
    });

    it('say which message a reader gets next, whatever is acknowledged, where the driver can ask', async () => {
      const { topic, ids } = await beganTopic();
      const { first } = await openSource({ topic });
      const wanted = [ids[1], ids[4], undefined].map((id) => (can.positions ? id : undefined));
      const got = [ids[0], ids[3], ids[4]].map((id) => first.nextBehind(id as EntryId));
      expect(await Promise.all(got)).toEqual(wanted);
    });
  });
}

/** The schemas that messages name. */
export function describeSchemas(contract: SourceContract): void {
  const { can, openSource, topicWith } = contract;

  describe('schemas', () => {
    it('are those of the broker, by their versions, where the driver can ask; else it says that it cannot', async () => {
      const { topic } = await topicWith(...singles(1));
      await contract.around.registerSchema(topic);
      const { first } = await openSource({ topic });
      const [known, unknown] = await Promise.all([
        first.schema(Buffer.alloc(8)),
        first.schema(Buffer.alloc(8, 7)),
      ]);
      expect(unknown).toMatchObject({ kind: 'unknown', reason: expect.stringMatching(/./) });
      expect(known).toMatchObject(
        can.exactFields
          ? { kind: 'schema', schema: { type: 'STRING', properties: [], definition: Buffer.alloc(0) } }
          : { kind: 'unknown', hint: expect.stringContaining('wire') },
      );
    });
  });
}

/** Why nothing comes. */
export function describeSilence(contract: SourceContract): void {
  const { can, openSource, topicWith, take, expectIdle } = contract;

  describe('silence', () => {
    it('has no reason where nothing is left, and none that a driver without explanations could name', async () => {
      const { topic } = await topicWith(...singles(2));
      const { first } = await openSource({ topic });
      await first.acknowledge(idsOf(await take(first, 2)));
      await expectIdle(first);
      expect(first.canExplainSilence).toBe(can.explainsSilence);
      expect(await first.heldBack(0, 300)).toEqual(can.explainsSilence ? [] : undefined);
    });

    it('may be that of a transaction, for a driver that cannot know', async () => {
      const { topic } = await topicWith();
      const { first } = await openSource({ topic });
      expect(await first.hasTransactions()).toSatisfy((has) =>
        can.explainsSilence ? has === true || has === false : has,
      );
    });

    it('leaves no chunks to give up where no message is incomplete', async () => {
      const { topic } = await topicWith(...singles(2));
      const { first } = await openSource({ topic });
      await first.acknowledge(idsOf(await take(first, 2)));
      expect(await first.giveUpChunks(contract.around.clock.now() + 60_000)).toEqual([]);
    });
  });
}
