// The contract of Source: acknowledged is gone, everything else comes again, from its beginning.
import { describe, expect, it } from 'vitest';
import { BackupError } from '../../src/errors.ts';
import { retry } from '../../src/lib/retry.ts';
import type { EntryId, ReadableEntry, SourcePartition } from '../../src/ports.ts';
import { partitionTopic } from '../../src/topic-name.ts';
import {
  batch,
  byPosition,
  IN_ORDER,
  idsOf,
  LISTED,
  PATIENCE_MS,
  payloadsOf,
  type SourceContract,
  single,
  singles,
  TYPES,
  text,
} from './source-contract.ts';
import type { ContractConfig } from './source-setup.ts';

/** What acknowledge does, and what the broker says after it. */
export function describeAcknowledging(contract: SourceContract): void {
  const { can, openSource, topicWith, take, expectIdle, expectBacklog } = contract;

  describe('acknowledging', () => {
    it.each(TYPES)('lets nothing come again on %s, and leaves no backlog', async (subscriptionType) => {
      const { topic } = await topicWith(batch('a', 'b'), ...singles(3), batch('c'));
      const { source, first } = await openSource({ topic, subscriptionType });
      const entries = await take(first, 5);
      expect(payloadsOf([...entries].sort((a, b) => byPosition(a.id, b.id)))).toEqual([
        ['a', 'b'],
        ['m0'],
        ['m1'],
        ['m2'],
        ['c'],
      ]);
      await first.acknowledge(idsOf(entries));
      if (can.receipts) await expectBacklog(topic, 0);
      await source.close();
      await expectBacklog(topic, 0);
      const { first: again } = await openSource({ topic, subscriptionType });
      await expectIdle(again);
    });

    it.each(IN_ORDER)('goes up to the last entry on %s', async (subscriptionType) => {
      const { topic, ids } = await topicWith(...singles(2), batch('a', 'b'), batch('c', 'd'), single('e'));
      const { source, first } = await openSource({ topic, subscriptionType });
      await take(first, 5);
      await first.acknowledge([ids[2] as EntryId]);
      await source.close();
      await expectBacklog(topic, 2);
      const { first: again } = await openSource({ topic, subscriptionType });
      expect(payloadsOf(await take(again, 2))).toEqual([['c', 'd'], ['e']]);
    });

    it.each(LISTED)('takes just the entries of the list on %s', async (subscriptionType) => {
      const { topic, ids } = await topicWith(...singles(2), batch('a', 'b'), batch('c', 'd'), single('e'));
      const { source, first } = await openSource({ topic, subscriptionType });
      await take(first, 5);
      await first.acknowledge([ids[1], ids[3]] as EntryId[]);
      await source.close();
      await expectBacklog(topic, 3);
      const { first: again } = await openSource({ topic, subscriptionType });
      const rest = (await take(again, 3)).sort((a, b) => byPosition(a.id, b.id));
      expect(payloadsOf(rest)).toEqual([['m0'], ['a', 'b'], ['e']]);
    });

    it.each(TYPES)('may be repeated on %s', async (subscriptionType) => {
      const { topic } = await topicWith(...singles(3));
      const { source, first } = await openSource({ topic, subscriptionType });
      const ids = idsOf(await take(first, 3));
      await first.acknowledge(ids.slice(0, 2));
      await first.acknowledge(ids.slice(0, 2));
      await first.acknowledge([]);
      await source.close();
      await expectBacklog(topic, 1);
    });

    it('goes on while messages are taken, over many entries', async () => {
      const { topic } = await topicWith(...singles(400));
      const { source, first } = await openSource({ topic });
      const acknowledged: Promise<void>[] = [];
      for (let round = 0; round < 8; round++) {
        acknowledged.push(first.acknowledge(idsOf(await take(first, 50))));
      }
      await Promise.all(acknowledged);
      await source.close();
      await expectBacklog(topic, 0);
    });

    it('leaves what was not acknowledged to the next run, from its beginning', async () => {
      const { topic } = await topicWith(...singles(4));
      const { source, first } = await openSource({ topic });
      const entries = await take(first, 3);
      await first.acknowledge(idsOf(entries.slice(0, 1)));
      await source.close();
      const { first: again } = await openSource({ topic });
      expect(payloadsOf(await take(again, 3))).toEqual([['m1'], ['m2'], ['m3']]);
    });
  });

  describe('the backlog', () => {
    it('is what is not acknowledged yet, where the driver can know', async () => {
      const { topic } = await topicWith(...singles(5));
      const { first } = await openSource({ topic });
      await first.acknowledge(idsOf(await take(first, 5)).slice(0, 2));
      const backlog = await first.backlog();
      if (can.backlog) expect(backlog?.entries ?? backlog?.messages).toBe(3);
      else expect(backlog).toBeUndefined();
    });

    it('reports of the next message at most when it was published', async () => {
      const { topic } = await topicWith(...singles(5));
      const { first } = await openSource({ topic });
      await take(first, 2);
      const reported = (await first.backlog())?.nextPublishTimeMs;
      const [next] = await take(first, 1);
      expect([undefined, next?.messages[0]?.publishTimeMs]).toContain(reported);
    });
  });
}

/** What restart does. */
export function describeRestarting(contract: SourceContract): void {
  const { openSource, topicWith, take, takeDistinct, expectIdle, expectNothingBut, expectBacklog } = contract;

  describe('taking a partition again', () => {
    it.each(TYPES)('begins at the first unacknowledged entry on %s', async (subscriptionType) => {
      const { topic } = await topicWith(...singles(2), batch('a', 'b', 'c'), ...singles(300, 2));
      const { first } = await openSource({ topic, subscriptionType });
      const entries = await take(first, 40);
      await first.acknowledge(idsOf(entries.slice(0, 1)));
      await first.restart();
      const wanted = ['m1', 'a,b,c', ...Array.from({ length: 300 }, (_, n) => `m${n + 2}`)];
      const again = IN_ORDER.includes(subscriptionType)
        ? await take(first, 302)
        : await takeDistinct(first, 302);
      const got = again.map(({ messages }) => messages.map(({ payload }) => text(payload)).join(','));
      expect(got).toEqual(wanted);
      if (IN_ORDER.includes(subscriptionType)) await expectIdle(first);
      else await expectNothingBut(first, again);
    });

    it('may be repeated, and the partition can be acknowledged as before', async () => {
      const { topic } = await topicWith(...singles(3));
      const { source, first } = await openSource({ topic });
      await first.restart();
      await take(first, 2);
      await first.restart();
      await first.restart();
      await first.acknowledge(idsOf(await take(first, 3)));
      await source.close();
      await expectBacklog(topic, 0);
    });

    it('leaves the other partitions alone', async () => {
      const topic = await contract.around.createTopic(2);
      for (const n of [0, 1]) await contract.around.publish(partitionTopic(topic, n), singles(4));
      const { partitions } = await openSource({ topic });
      const [one, other] = partitions as [SourcePartition, SourcePartition];
      await take(one, 2);
      await take(other, 2);
      await one.restart();
      expect(payloadsOf(await take(other, 2))).toEqual([['m2'], ['m3']]);
      expect(payloadsOf(await take(one, 4))).toEqual([['m0'], ['m1'], ['m2'], ['m3']]);
    });
  });
}

/** What happens when the broker throws the consumers out, and when the run ends. */
export function describeInterruptions(contract: SourceContract): void {
  const { can, openSource, topicWith, take, expectBacklog } = contract;

  describe('when it is interrupted', () => {
    it.each(TYPES)('loses nothing to a broker that moves the topic, on %s', async (subscriptionType) => {
      const { topic } = await topicWith(...singles(2), batch('a', 'b'), ...singles(200, 2));
      const { source, first } = await openSource({ topic, subscriptionType });
      const before = await take(first, 50);
      await acknowledge(first, before.slice(0, 10));
      await contract.around.unload(topic);
      const got = new Map(before.map((entry) => [entryText(entry.id), entry]));
      const deadlineMs = contract.around.clock.now() + PATIENCE_MS;
      while (got.size < 203 && contract.around.clock.now() < deadlineMs) {
        const delivery = await first.next(500);
        // What is delivered again is dropped by who takes it.
        if (delivery.kind === 'entry') got.set(entryText(delivery.id), delivery);
      }
      const entries = [...got.values()].sort((a, b) => byPosition(a.id, b.id));
      expect(payloadsOf(entries).flat()).toEqual([
        ...['m0', 'm1', 'a', 'b'],
        ...Array.from({ length: 200 }, (_, n) => `m${n + 2}`),
      ]);
      await acknowledge(first, entries);
      await source.close();
      // What was acknowledged while the topic moved, without a receipt, may be lost: then it comes again.
      if (!can.receipts) await acknowledgeTheRest({ topic, subscriptionType });
      await expectBacklog(topic, 0);
    });

    it('ends every wait when the run ends, and still acknowledges', async () => {
      const { topic } = await topicWith(...singles(3));
      const runEnd = new AbortController();
      const { source, first } = await openSource({ topic }, { signal: runEnd.signal });
      const entries = await take(first, 3);
      const startedMs = contract.around.clock.now();
      const waiting = first.next(60_000);
      runEnd.abort();
      await expect(waiting).rejects.toBeInstanceOf(BackupError);
      await expect(first.next(60_000)).rejects.toBeInstanceOf(BackupError);
      expect(contract.around.clock.now() - startedMs).toBeLessThan(2_000);
      await first.acknowledge(idsOf(entries));
      await source.close();
      await expectBacklog(topic, 0);
    });

    /** As the next run does it. */
    async function acknowledgeTheRest(config: ContractConfig): Promise<void> {
      const { source, first } = await openSource(config);
      const rest: EntryId[] = [];
      for (;;) {
        const delivery = await first.next(1_000);
        if (delivery.kind !== 'entry') break;
        rest.push(delivery.id);
      }
      await first.acknowledge(rest);
      await source.close();
    }

    const entryText = (id: EntryId) => `${id.ledgerId}:${id.entryId}`;

    /** As the core does it: a lost connection is a reason to call again. */
    const acknowledge = (partition: SourcePartition, entries: readonly ReadableEntry[]) =>
      retry(() => partition.acknowledge(idsOf(entries)), { clock: contract.around.clock });
  });
}

/** Several consumers of one subscription. */
export function describeSharing(contract: SourceContract): void {
  const { can, openSource, topicWith, take } = contract;

  describe('several consumers', () => {
    it('of a Failover subscription take over from the beginning of what is not acknowledged', async () => {
      const { topic } = await topicWith(...singles(3));
      const { source, first } = await openSource({ topic, subscriptionType: 'failover' });
      await first.acknowledge(idsOf(await take(first, 3)).slice(0, 1));
      const { first: standby } = await openSource({ topic, subscriptionType: 'failover' });
      await source.close();
      expect(payloadsOf(await take(standby, 2))).toEqual([['m1'], ['m2']]);
    });

    it('of a Failover subscription: a consumer that is not active learns it, where the driver can', async () => {
      const { topic } = await topicWith(...singles(3));
      const one = await openSource({ topic, subscriptionType: 'failover' });
      const other = await openSource({ topic, subscriptionType: 'failover' });
      // Who becomes the active one is the broker's choice; it is one of them.
      const seen = new Set<string>();
      const hasSeenAll = () => seen.has('entry') && (seen.has('standby') || seen.has('lost'));
      const deadlineMs = contract.around.clock.now() + 6_000;
      while (!hasSeenAll() && contract.around.clock.now() < deadlineMs) {
        const deliveries = await Promise.all([one.first.next(500), other.first.next(500)]);
        for (const { kind } of deliveries) seen.add(kind);
      }
      expect(seen).toContain('entry');
      expect(seen.has('standby') || seen.has('lost')).toBe(can.failoverSignals);
    });

    it('of a Failover subscription: who waits for its turn is called when it comes, where the driver can', async () => {
      const { topic } = await topicWith(...singles(3));
      const one = await openSource({ topic, subscriptionType: 'failover' });
      await take(one.first, 1);
      const other = await openSource({ topic, subscriptionType: 'failover' });
      if (!can.failoverSignals) {
        expect(await other.first.untilActive(new AbortController().signal)).toBe(false);
        expect(await other.first.isDrained()).toBe(true);
        return;
      }
      // Who becomes the active one is the broker's choice.
      const answers = [one, other].map(({ first }) => untilStandby(first));
      const waiting = await Promise.race(answers);
      const over = new AbortController();
      const given = waiting.untilActive(over.signal);
      over.abort();
      expect(await given).toBe(false);
      expect(await waiting.isDrained()).toBe(!can.positions);
      const called = waiting.untilActive(new AbortController().signal);
      await (waiting === one.first ? other : one).source.close();
      expect(await called).toBe(true);
      expect(payloadsOf(await take(waiting, 3))).toEqual([['m0'], ['m1'], ['m2']]);
    });

    /** The partition, once the broker announces that another consumer is the active one. */
    async function untilStandby(partition: SourcePartition): Promise<SourcePartition> {
      for (;;) if ((await partition.next(500)).kind === 'standby') return partition;
    }

    it('of a Shared subscription get each message once, together', async () => {
      const { topic } = await topicWith();
      const one = await openSource({ topic, subscriptionType: 'shared' });
      const other = await openSource({ topic, subscriptionType: 'shared' });
      await contract.around.publish(topic.full, singles(100));
      const got: string[] = [];
      const deadlineMs = contract.around.clock.now() + PATIENCE_MS;
      while (got.length < 100 && contract.around.clock.now() < deadlineMs) {
        for (const { first } of [one, other]) {
          const delivery = await first.next(10);
          if (delivery.kind !== 'entry') continue;
          got.push(...delivery.messages.map(({ payload }) => text(payload) as string));
          await first.acknowledge([delivery.id]);
        }
      }
      expect(got.sort()).toEqual(Array.from({ length: 100 }, (_, n) => `m${n}`).sort());
    });
  });
}
