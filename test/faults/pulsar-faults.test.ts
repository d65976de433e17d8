// Pulsar fails below the whole product: lost connections, lost acknowledgements, redelivery, unloads, restarts.
import { describe, expect } from 'vitest';
import { itWithStack, type Stack, SUBSCRIPTION } from './stack.ts';

for (const subscriptionType of ['exclusive', 'failover']) {
  describe(`on a subscription of type ${subscriptionType}`, () => {
    const it = itWithStack({ subscriptionType });

    async function thenAllIsWell(stack: Stack): Promise<void> {
      stack.broker.faults.acks = undefined;
      for (let tries = 0; tries < 3 && (await stack.run()).error !== undefined; tries++);
      stack.expectExactlyOnce();
      expect(stack.backlog()).toBe(0);
      expect(stack.cos.uploads()).toEqual([]);
    }

    it.for(['close-before', 'close-after', 'lose-receipt', 'ignore'] as const)(
      'an acknowledgement that meets %s is asked again within the run',
      async (fault, { stack }) => {
        stack.publish(300);
        stack.broker.faults.acks = { fault, times: 2 };
        const { error, summary } = await stack.run({ env: { FILE_MAX_MESSAGES: '50' } });
        expect(error).toBeUndefined();
        expect(summary?.messages).toBe(300);
        stack.expectExactlyOnce();
        expect(stack.backlog()).toBe(0);
      },
    );

    it('acknowledgements that never arrive fail the run; the next one finds its objects and stores none twice', async ({
      stack,
    }) => {
      stack.publish(300);
      stack.broker.faults.acks = { fault: 'ignore', times: Number.POSITIVE_INFINITY };
      const { error } = await stack.run({ env: { FILE_MAX_MESSAGES: '50' }, timeLimitMs: 8_000 });
      expect(error).toMatchObject({
        code: 'source',
        message: expect.stringMatching(/did not confirm an acknowledgement|acknowledging an entry/),
      });
      expect(stack.stored().size).toBeGreaterThan(0);
      expect(stack.backlog()).toBe(30);
      await thenAllIsWell(stack);
    });

    it.for([1, 7, 25])(
      'a connection that breaks after %i entries is taken up again, without a message twice',
      async (n, { stack }) => {
        stack.publish(400);
        stack.broker.faults.closeAfterEntries = n;
        const { error } = await stack.run({ env: { FILE_MAX_MESSAGES: '60' } });
        expect(error).toBeUndefined();
        stack.expectExactlyOnce();
        expect(stack.backlog()).toBe(0);
      },
    );

    it.for(['unload', 'kickConsumers', 'redeliver'] as const)(
      '%s in the middle of a run changes nothing',
      async (what, { stack }) => {
        stack.publish(400);
        let entries = 0;
        stack.broker.onAnswer((name) => {
          if (name === 'message' && ++entries === 15) {
            setImmediate(() => {
              if (what === 'unload') stack.broker.unload(stack.topic);
              else stack.broker[what](stack.topic, SUBSCRIPTION);
            });
          }
          return undefined;
        });
        const { error } = await stack.run({ env: { FILE_MAX_MESSAGES: '60' } });
        expect(entries).toBeGreaterThan(15);
        expect(error).toBeUndefined();
        await thenAllIsWell(stack);
      },
    );

    it('a broker that restarts in the middle of a run is waited for', async ({ stack }) => {
      stack.publish(400);
      let entries = 0;
      stack.broker.onAnswer((name) => {
        if (name === 'message' && ++entries === 15) {
          setImmediate(() => void stack.broker.stop().then(() => stack.broker.start()));
        }
        return undefined;
      });
      const { error } = await stack.run({ env: { FILE_MAX_MESSAGES: '60' } });
      expect(error).toBeUndefined();
      await thenAllIsWell(stack);
    });

    it('an entry that is delivered twice in a row is stored once', async ({ stack }) => {
      stack.publish(100);
      for (let entryId = 0; entryId < 5; entryId++) {
        const topic = `${stack.topic}-partition-0`;
        const { markDelete } = stack.broker.ackedPositions(topic, SUBSCRIPTION);
        stack.broker.deliverTwice(topic, { ledgerId: markDelete.ledgerId, entryId });
      }
      await stack.run();
      stack.expectExactlyOnce();
    });

    it('a subscription that is deleted in mid-run is drained again from its start, and nothing is stored twice', async ({
      stack,
    }) => {
      stack.publish(400);
      let entries = 0;
      stack.broker.onAnswer((name) => {
        if (name === 'message' && ++entries === 25) {
          setImmediate(() => stack.broker.deleteSubscription(stack.topic, SUBSCRIPTION));
        }
        return undefined;
      });
      await stack.run({ env: { FILE_MAX_MESSAGES: '60' } });
      await thenAllIsWell(stack);
    });

    it('an unreadable entry that fails the run stops nothing before it, and no other partition', async ({
      stack,
    }) => {
      stack.publish(600);
      const topic = `${stack.topic}-partition-1`;
      const { markDelete } = stack.broker.ackedPositions(topic, SUBSCRIPTION);
      stack.broker.corruptEntry(topic, { ledgerId: markDelete.ledgerId, entryId: 20 });
      const env = { RUN_ON_UNREADABLE: 'fail', FILE_MAX_MESSAGES: '60' };
      for (const objects of [9, 0]) {
        const { error, lines } = await stack.run({ env });
        expect(error?.code).toBe('corrupt');
        expect(lines.filter(({ message }) => message === 'object stored')).toHaveLength(objects);
        expect(lines.find(({ message }) => message === 'partition failed')).toMatchObject({ topic });
        expect(stack.stored().size).toBe(500);
        expect(stack.backlog()).toBe(10);
      }
      expect((await stack.run()).summary).toMatchObject({ unreadable: 1, messages: 90 });
      expect(stack.backlog()).toBe(0);
    });

    it('an unreadable entry is kept raw with its reason, the rest is stored, and all is acknowledged', async ({
      stack,
    }) => {
      stack.publish(100);
      const topic = `${stack.topic}-partition-1`;
      const { markDelete } = stack.broker.ackedPositions(topic, SUBSCRIPTION);
      stack.broker.corruptEntry(topic, { ledgerId: markDelete.ledgerId, entryId: 2 });
      const failing = await stack.run({ env: { RUN_ON_UNREADABLE: 'fail' } });
      expect(failing.error?.code).toBe('corrupt');
      const { summary, lines } = await stack.run();
      expect(summary).toMatchObject({ unreadable: 1 });
      expect(lines.find(({ message }) => message === 'entry unreadable')).toMatchObject({ level: 'error' });
      const keys = stack.cos.objects().map(({ key }) => key);
      expect(
        keys.filter((key) => key.startsWith('p/_unreadable/public/default/orders/partition=1/')),
      ).toHaveLength(2);
      expect(stack.stored().size).toBe(90);
      expect(stack.backlog()).toBe(0);
    });
  });
}

describe('overlapping runs', () => {
  itWithStack()(
    'on one Exclusive subscription: one drains, the other is busy, a success',
    async ({ stack }) => {
      stack.publish(500);
      const outcomes = await Promise.all([stack.run(), stack.run()]);
      expect(outcomes.map(({ error }) => error)).toEqual([undefined, undefined]);
      expect(outcomes.map(({ summary }) => summary?.stopReason).sort()).toEqual(['busy', 'caught_up']);
      stack.expectExactlyOnce();
      expect(stack.backlog()).toBe(0);
    },
  );

  itWithStack({ partitions: 6, subscriptionType: 'failover' })(
    'three on a Failover subscription of six partitions share them, and nothing is stored twice',
    async ({ stack }) => {
      stack.publish(3_000);
      const outcomes = await Promise.all([stack.run(), stack.run(), stack.run()]);
      expect(outcomes.map(({ error }) => error)).toEqual([undefined, undefined, undefined]);
      await stack.run();
      stack.expectExactlyOnce();
      expect(stack.backlog()).toBe(0);
    },
  );

  itWithStack({ partitions: 2, subscriptionType: 'failover' })(
    'a partition that moves in the middle of a batch to another instance is stored once',
    async ({ stack }) => {
      stack.publish(2_000);
      let entries = 0;
      stack.broker.onAnswer((name) => {
        if (name === 'message' && ++entries % 40 === 0 && entries < 400) {
          const idle = stack.broker.consumers().filter(({ isActive }) => !isActive);
          for (const { topic, name: consumer } of idle)
            stack.broker.setActiveConsumer(topic, SUBSCRIPTION, consumer);
        }
        return undefined;
      });
      const env = { FILE_MAX_MESSAGES: '100' };
      const outcomes = await Promise.all([stack.run({ env }), stack.run({ env })]);
      expect(outcomes.map(({ error }) => error)).toEqual([undefined, undefined]);
      await stack.run();
      stack.expectExactlyOnce();
      expect(stack.backlog()).toBe(0);
    },
  );
});

for (const subscriptionType of ['shared', 'key_shared']) {
  describe(`on a subscription of type ${subscriptionType}`, () => {
    const it = itWithStack({ subscriptionType, unackedCap: 200 });

    it('drains more messages than the broker allows unacknowledged', async ({ stack }) => {
      stack.publish(1_000);
      const { summary } = await stack.run();
      expect(summary).toMatchObject({ messages: 1_000, stopReason: 'caught_up' });
      expect(stack.expectAtLeastOnce()).toBe(0);
      expect(stack.backlog()).toBe(0);
    });

    it('stores each message at least once when acknowledgements are lost, and acknowledges nothing that is not stored', async ({
      stack,
    }) => {
      stack.publish(500);
      stack.broker.faults.acks = { fault: 'ignore', times: Number.POSITIVE_INFINITY };
      const { error } = await stack.run({ timeLimitMs: 8_000 });
      expect(error?.code).toBe('source');
      expect(stack.backlog()).toBe(50);
      stack.broker.faults.acks = undefined;
      await stack.run();
      stack.expectAtLeastOnce();
      expect(stack.backlog()).toBe(0);
    });
  });
}
