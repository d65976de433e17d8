// The contract of Source: what open finds and refuses, and what close leaves.
import { describe, expect, it } from 'vitest';
import { BackupError } from '../../src/errors.ts';
import { Secret } from '../../src/lib/secret.ts';
import type { Delivery, EntryId, Source, SourcePartition } from '../../src/ports.ts';
import { parseTopicName, partitionTopic, type TopicName } from '../../src/topic-name.ts';
import { batch, idsOf, payloadsOf, type SourceContract, singles } from './source-contract.ts';

/** Partitions, the end bound, busy, and failures that a person can act on. */
export function describeOpening(contract: SourceContract): void {
  const { can, createSource, openSource, topicWith, take, expectIdle } = contract;

  describe('opening', () => {
    it('finds the partitions of a partitioned topic, in order', async () => {
      const topic = await contract.around.createTopic(3);
      const { source, partitions } = await openSource({ topic });
      expect(source.driver).toMatch(/^(wire|native)$/);
      expect(partitions.map(({ partition, topic }) => [partition, topic])).toEqual(
        [0, 1, 2].map((n) => [n, partitionTopic(topic, n)]),
      );
    });

    it('takes a plain topic for one partition, numbered -1', async () => {
      const topic = await contract.around.createTopic(0);
      const { partitions } = await openSource({ topic });
      expect(partitions.map(({ partition, topic }) => [partition, topic])).toEqual([[-1, topic.full]]);
    });

    it('takes the last entry at that time for the end, whatever is published later', async () => {
      const { topic, ids } = await topicWith(...singles(2), batch('a', 'b'));
      const { first } = await openSource({ topic });
      await contract.around.publish(topic.full, singles(1));
      expect(first.end).toEqual(can.exactEnd ? expect.objectContaining(ids[2] as EntryId) : 'unknown');
    });

    it('has no end where there is nothing to drain: empty topic, or all acknowledged', async () => {
      const empty = await contract.around.createTopic(0);
      const { first: none } = await openSource({ topic: empty });
      expect(none.end).toBe(can.exactEnd ? null : 'unknown');
      const { topic } = await topicWith(...singles(2));
      const { source, first } = await openSource({ topic });
      await first.acknowledge(idsOf(await take(first, 2)));
      await source.close();
      const { first: drained } = await openSource({ topic });
      expect(drained.end).toBe(can.exactEnd ? null : 'unknown');
      await expectIdle(drained);
    });

    it('begins a new subscription at its initial position', async () => {
      const { topic } = await topicWith(...singles(2));
      const { first: latest } = await openSource({
        topic,
        subscription: 'late',
        initialPosition: 'latest',
      });
      await contract.around.publish(topic.full, singles(1, 2));
      expect(payloadsOf(await take(latest, 1))).toEqual([['m2']]);
      const { first: earliest } = await openSource({ topic, initialPosition: 'earliest' });
      expect(payloadsOf(await take(earliest, 3))).toEqual([['m0'], ['m1'], ['m2']]);
    });

    it("answers 'busy' where somebody has the Exclusive subscription", async () => {
      const { topic } = await topicWith(...singles(1));
      const { source, first } = await openSource({ topic });
      expect(await createSource({ topic }).open()).toBe('busy');
      expect(payloadsOf(await take(first, 1))).toEqual([['m0']]);
      await source.close();
      expect(await createSource({ topic }).open()).toHaveLength(1);
    });

    it('fails with a hint where there is no such topic', async () => {
      const known = await contract.around.createTopic(0);
      const topic = parseTopicName(`${known.full}-that-is-not-there`) as TopicName;
      await expectFailure(createSource({ topic }));
    });

    it('fails with a hint where there is no such namespace', async () => {
      const topic = parseTopicName('public/not-there/orders') as TopicName;
      await expectFailure(createSource({ topic }));
    });

    it('fails with a hint, and without showing it, where the token is wrong', async () => {
      const topic = await contract.around.createTopic(0);
      const failure = await expectFailure(createSource({ topic, token: new Secret('not-the-token') }));
      expect(failure.hint).toContain('PULSAR_TOKEN');
      expect(`${failure.stack} ${JSON.stringify(failure)} ${String(failure.cause)}`).not.toContain(
        'not-the-token',
      );
    });

    it('fails with a hint where nobody listens', async () => {
      const topic = await contract.around.createTopic(0);
      await expectFailure(createSource({ topic, serviceUrl: 'pulsar://127.0.0.1:1' }));
    });

    async function expectFailure(source: Source): Promise<BackupError> {
      const startedMs = contract.around.clock.now();
      const failure = await source.open().then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(failure).toBeInstanceOf(BackupError);
      expect(failure).toMatchObject({ code: 'source', hint: expect.stringMatching(/\w/) });
      expect(contract.around.clock.now() - startedMs).toBeLessThan(30_000);
      return failure as BackupError;
    }
  });
}

/** Nothing is left behind. */
export function describeClosing(contract: SourceContract): void {
  const { createSource, openSource, take } = contract;

  describe('closing', () => {
    const openHandles = () =>
      process.getActiveResourcesInfo().filter((kind) => /^(TCP|TLS|Timeout|PipeWrap)/.test(kind)).length;

    it('leaves no socket and no timer, also with a receive under way, and may be repeated', async () => {
      const topic = await contract.around.createTopic(2);
      await contract.around.publish(partitionTopic(topic, 0), singles(10));
      const before = openHandles();
      const { source, partitions } = await openSource({ topic });
      await take(partitions[0] as SourcePartition, 1);
      const waiting = partitions[1]?.next(60_000).catch((error: unknown) => error);
      await source.close();
      await source.close();
      expect(await waiting).toSatisfy(
        (answer) => answer instanceof BackupError || (answer as Delivery).kind === 'idle',
      );
      const deadlineMs = contract.around.clock.now() + 5_000;
      while (openHandles() > before && contract.around.clock.now() < deadlineMs)
        await contract.around.clock.sleep(20);
      expect(openHandles()).toBeLessThanOrEqual(before);
    });

    it('is possible before an open and after one that failed', async () => {
      const topic = await contract.around.createTopic(0);
      await createSource({ topic }).close();
      const failing = createSource({ topic: parseTopicName(`${topic.full}-not-there`) as TopicName });
      await expect(failing.open()).rejects.toBeInstanceOf(BackupError);
      await failing.close();
    });
  });
}
