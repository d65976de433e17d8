// PULSAR_INITIAL_POSITION=latest is for the first run: what comes once a rule is at work is never passed over.
import { describe, expect } from 'vitest';
import { itWithStage, type RunStage, SUBSCRIPTION } from '../stage/loopback-stage.ts';

const it = itWithStage();
const env = { PULSAR_INITIAL_POSITION: 'latest' };
const partitionOf = ({ topic }: RunStage, partition: number) => `${topic}-partition-${partition}`;

describe('a rule that begins at latest', () => {
  it('passes over what was there before its first run, and leaves a manifest of that run', async ({
    stage,
  }) => {
    stage.publish(20);
    stage.broker.deleteSubscription(stage.topic, SUBSCRIPTION);
    expect((await stage.run({ env })).summary).toMatchObject({ messages: 0, partitions: 2 });
    expect(stage.cos.objects().map(({ key }) => key)).toEqual([
      expect.stringMatching(/^p\/_runs\/rule=orders-backup\//),
    ]);
  });

  it('passes over nothing later, where a partition has no subscription any more', async ({ stage }) => {
    expect((await stage.run({ env })).error).toBeUndefined();
    stage.publish(20);
    stage.broker.deleteSubscription(partitionOf(stage, 1), SUBSCRIPTION);
    stage.publish(20);
    expect((await stage.run({ env })).summary).toMatchObject({ stopReason: 'caught_up', messages: 40 });
    stage.expectExactlyOnce();
  });

  it('begins anew with another subscription', async ({ stage }) => {
    stage.publish(20);
    expect((await stage.run({ env })).summary).toMatchObject({ messages: 20 });
    const other = { ...env, PULSAR_SUBSCRIPTION: 'other' };
    expect((await stage.run({ env: other })).summary).toMatchObject({ messages: 0, alreadyStored: 0 });
  });

  it('makes no subscription while COS does not say whether there was a run', async ({ stage }) => {
    stage.publish(20);
    stage.broker.deleteSubscription(stage.topic, SUBSCRIPTION);
    const fault = { kind: 'list', times: 'always' } as const;
    stage.cos.addFault({ ...fault, action: { type: 'status', status: 503, code: 'SlowDown' } });
    expect((await stage.run({ env })).error).toMatchObject({ code: 'store', details: { code: 'SlowDown' } });
    const position = () => stage.broker.ackedPositions(partitionOf(stage, 0), SUBSCRIPTION);
    expect(position).toThrow('has no subscription');
  });

  it('begins there too where the role may not list', async ({ stage }) => {
    stage.publish(20);
    stage.broker.deleteSubscription(stage.topic, SUBSCRIPTION);
    const fault = { kind: 'list', times: 'always' } as const;
    stage.cos.addFault({ ...fault, action: { type: 'status', status: 403, code: 'AccessDenied' } });
    expect((await stage.run({ env })).summary).toMatchObject({ messages: 0, partitions: 2 });
  });
});
