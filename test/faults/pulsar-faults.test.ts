// Pulsar fails below the whole product: lost connections, lost acknowledgements, redelivery, unloads, restarts.
// @module-tag faults
import { describe, expect } from 'vitest';
import { SERVER_ERROR } from '../../src/pulsar/wire/protocol/tables.ts';
import { itWithStage, type RunStage, SUBSCRIPTION } from '../stage/loopback-stage.ts';

for (const subscriptionType of ['exclusive', 'failover']) {
  describe(`on a subscription of type ${subscriptionType}`, () => {
    const it = itWithStage({ subscriptionType });

    async function thenAllIsWell(stage: RunStage): Promise<void> {
      stage.broker.faults.acks = undefined;
      for (let tries = 0; tries < 3 && (await stage.run()).error !== undefined; tries++);
      stage.expectExactlyOnce();
      expect(stage.backlog()).toBe(0);
      expect(stage.cos.uploads()).toEqual([]);
    }

    it.for(['close-before', 'close-after', 'lose-receipt', 'ignore'] as const)(
      'an acknowledgement that meets %s is asked again within the run',
      async (fault, { stage }) => {
        stage.publish(300);
        stage.broker.faults.acks = { fault, times: 2 };
        const { error, summary } = await stage.run({ env: { FILE_MAX_MESSAGES: '50' } });
        expect(error).toBeUndefined();
        expect(summary?.messages).toBe(300);
        stage.expectExactlyOnce();
        expect(stage.backlog()).toBe(0);
      },
    );

    it('acknowledgements that never arrive fail the run; the next one finds its objects and stores none twice', async ({
      stage,
    }) => {
      stage.publish(300);
      stage.broker.faults.acks = { fault: 'ignore', times: Number.POSITIVE_INFINITY };
      const { error } = await stage.run({ env: { FILE_MAX_MESSAGES: '50' }, timeLimitMs: 8_000 });
      expect(error).toMatchObject({
        code: 'source',
        message: expect.stringMatching(/did not confirm an acknowledgement|acknowledging an entry/),
      });
      expect(stage.stored().size).toBeGreaterThan(0);
      expect(stage.backlog()).toBe(30);
      await thenAllIsWell(stage);
    });

    it.for([1, 7, 25])(
      'a connection that breaks after %i entries is taken up again, without a message twice',
      async (n, { stage }) => {
        stage.publish(400);
        stage.broker.faults.closeAfterEntries = n;
        const { error } = await stage.run({ env: { FILE_MAX_MESSAGES: '60' } });
        expect(error).toBeUndefined();
        stage.expectExactlyOnce();
        expect(stage.backlog()).toBe(0);
      },
    );

    it.for(['unload', 'kickConsumers', 'redeliver'] as const)(
      '%s in the middle of a run changes nothing',
      async (what, { stage }) => {
        stage.publish(400);
        let entries = 0;
        stage.broker.onAnswer((name) => {
          if (name === 'message' && ++entries === 15) {
            setImmediate(() => {
              if (what === 'unload') stage.broker.unload(stage.topic);
              else stage.broker[what](stage.topic, SUBSCRIPTION);
            });
          }
          return undefined;
        });
        const { error } = await stage.run({ env: { FILE_MAX_MESSAGES: '60' } });
        expect(entries).toBeGreaterThan(15);
        expect(error).toBeUndefined();
        await thenAllIsWell(stage);
      },
    );

    it('a broker that restarts in the middle of a run is waited for', async ({ stage }) => {
      stage.publish(400);
      let entries = 0;
      stage.broker.onAnswer((name) => {
        if (name === 'message' && ++entries === 15) {
          setImmediate(() => void stage.broker.stop().then(() => stage.broker.start()));
        }
        return undefined;
      });
      const { error } = await stage.run({ env: { FILE_MAX_MESSAGES: '60' } });
      expect(error).toBeUndefined();
      await thenAllIsWell(stage);
    });

    it('an entry that is delivered twice in a row is stored once', async ({ stage }) => {
      stage.publish(100);
      for (let entryId = 0; entryId < 5; entryId++) {
        const topic = `${stage.topic}-partition-0`;
        const { markDelete } = stage.broker.ackedPositions(topic, SUBSCRIPTION);
        stage.broker.deliverTwice(topic, { ledgerId: markDelete.ledgerId, entryId });
      }
      await stage.run();
      stage.expectExactlyOnce();
    });

    it.for(['earliest', 'latest'])(
      'a subscription that is deleted in mid-run is drained again from its start, and nothing is stored twice (%s)',
      async (position, { stage }) => {
        stage.publish(400);
        let entries = 0;
        stage.broker.onAnswer((name) => {
          if (name === 'message' && ++entries === 25) {
            setImmediate(() => stage.broker.deleteSubscription(stage.topic, SUBSCRIPTION));
          }
          return undefined;
        });
        await stage.run({ env: { FILE_MAX_MESSAGES: '60', PULSAR_INITIAL_POSITION: position } });
        await thenAllIsWell(stage);
      },
    );

    it('a partition that its broker cannot load fails the run, and the others are stored', async ({
      stage,
    }) => {
      stage.publish(400);
      const bad = `${stage.topic}-partition-0`;
      const mend = stage.broker.onCommand((name, { topic }) =>
        name === 'subscribe' && topic === bad
          ? { error: SERVER_ERROR.PersistenceError, message: 'No such ledger' }
          : undefined,
      );
      const { error, lines } = await stage.run();
      expect(error).toMatchObject({ message: expect.stringContaining('No such ledger') });
      expect(lines.filter(({ message }) => message === 'partition failed')).toMatchObject([{ topic: bad }]);
      expect(lines.at(-1)).toMatchObject({ message: 'run failed', messages: 200, partitions: 2 });
      mend();
      const next = await stage.run();
      expect(next.summary).toMatchObject({ messages: 200, alreadyStored: 0 });
      expect(next.summary).not.toHaveProperty('subscriptionMoved');
      await thenAllIsWell(stage);
    });

    it('an unreadable entry that fails the run stops nothing before it, and no other partition', async ({
      stage,
    }) => {
      stage.publish(600);
      const topic = `${stage.topic}-partition-1`;
      const { markDelete } = stage.broker.ackedPositions(topic, SUBSCRIPTION);
      stage.broker.corruptEntry(topic, { ledgerId: markDelete.ledgerId, entryId: 20 });
      const env = { RUN_ON_UNREADABLE: 'fail', FILE_MAX_MESSAGES: '60' };
      for (const objects of [9, 0]) {
        const { error, lines } = await stage.run({ env });
        expect(error?.code).toBe('corrupt');
        expect(lines.filter(({ message }) => message === 'object stored')).toHaveLength(objects);
        expect(lines.find(({ message }) => message === 'partition failed')).toMatchObject({ topic });
        expect(stage.stored().size).toBe(500);
        expect(stage.backlog()).toBe(10);
      }
      expect((await stage.run()).summary).toMatchObject({ unreadable: 1, messages: 90 });
      expect(stage.backlog()).toBe(0);
    });

    it('an unreadable entry is kept raw with its reason, the rest is stored, and all is acknowledged', async ({
      stage,
    }) => {
      stage.publish(100);
      const topic = `${stage.topic}-partition-1`;
      const { markDelete } = stage.broker.ackedPositions(topic, SUBSCRIPTION);
      stage.broker.corruptEntry(topic, { ledgerId: markDelete.ledgerId, entryId: 2 });
      const failing = await stage.run({ env: { RUN_ON_UNREADABLE: 'fail' } });
      expect(failing.error?.code).toBe('corrupt');
      const { summary, lines } = await stage.run();
      expect(summary).toMatchObject({ unreadable: 1 });
      expect(lines.find(({ message }) => message === 'entry unreadable')).toMatchObject({ level: 'error' });
      const keys = stage.cos.objects().map(({ key }) => key);
      expect(
        keys.filter((key) => key.startsWith('p/_unreadable/public/default/orders/partition=1/')),
      ).toHaveLength(2);
      expect(stage.stored().size).toBe(90);
      expect(stage.backlog()).toBe(0);
    });
  });
}

describe('overlapping runs', () => {
  itWithStage()(
    'on one Exclusive subscription: one drains, the other is busy, a success',
    async ({ stage }) => {
      stage.publish(500);
      const outcomes = await Promise.all([stage.run(), stage.run()]);
      expect(outcomes.map(({ error }) => error)).toEqual([undefined, undefined]);
      expect(outcomes.map(({ summary }) => summary?.stopReason).sort()).toEqual(['busy', 'caught_up']);
      stage.expectExactlyOnce();
      expect(stage.backlog()).toBe(0);
    },
  );

  itWithStage({ partitions: 6, subscriptionType: 'failover' })(
    'three on a Failover subscription of six partitions share them, and nothing is stored twice',
    async ({ stage }) => {
      stage.publish(3_000);
      const outcomes = await Promise.all([stage.run(), stage.run(), stage.run()]);
      expect(outcomes.map(({ error }) => error)).toEqual([undefined, undefined, undefined]);
      await stage.run();
      stage.expectExactlyOnce();
      expect(stage.backlog()).toBe(0);
    },
  );

  itWithStage({ partitions: 2, subscriptionType: 'failover' })(
    'a partition that moves in the middle of a batch to another instance is stored once',
    async ({ stage }) => {
      stage.publish(2_000);
      let entries = 0;
      stage.broker.onAnswer((name) => {
        if (name === 'message' && ++entries % 40 === 0 && entries < 400) {
          const idle = stage.broker.consumers().filter(({ isActive }) => !isActive);
          for (const { topic, name: consumer } of idle)
            stage.broker.setActiveConsumer(topic, SUBSCRIPTION, consumer);
        }
        return undefined;
      });
      const env = { FILE_MAX_MESSAGES: '100' };
      const outcomes = await Promise.all([stage.run({ env }), stage.run({ env })]);
      expect(outcomes.map(({ error }) => error)).toEqual([undefined, undefined]);
      await stage.run();
      stage.expectExactlyOnce();
      expect(stage.backlog()).toBe(0);
    },
  );
});

for (const subscriptionType of ['shared', 'key_shared']) {
  describe(`on a subscription of type ${subscriptionType}`, () => {
    const it = itWithStage({ subscriptionType, maxUnackedMessagesPerConsumer: 200 });

    it('drains more messages than the broker allows unacknowledged', async ({ stage }) => {
      stage.publish(1_000);
      const { summary } = await stage.run();
      expect(summary).toMatchObject({ messages: 1_000, stopReason: 'caught_up' });
      expect(stage.expectAtLeastOnce()).toBe(0);
      expect(stage.backlog()).toBe(0);
    });

    it('stores each message at least once when acknowledgements are lost, and acknowledges nothing that is not stored', async ({
      stage,
    }) => {
      stage.publish(500);
      stage.broker.faults.acks = { fault: 'ignore', times: Number.POSITIVE_INFINITY };
      const { error } = await stage.run({ timeLimitMs: 8_000 });
      expect(error?.code).toBe('source');
      expect(stage.backlog()).toBe(50);
      stage.broker.faults.acks = undefined;
      await stage.run();
      stage.expectAtLeastOnce();
      expect(stage.backlog()).toBe(0);
    });
  });
}
