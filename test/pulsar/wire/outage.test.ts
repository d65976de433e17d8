// How long a run bears with a broker that is away or does not answer: 120 s, wherever it waits.
import { describe, expect, it } from 'vitest';
import { createWireSource } from '../../../src/pulsar/wire/source.ts';
import { parseTopicName, type TopicName } from '../../../src/topic-name.ts';
import { contractOptions } from '../../contract/contract-options.ts';
import { createFakeBroker } from '../../fakes/memory-source.ts';
import { createMemoryStore } from '../../fakes/memory-store.ts';
import { runDrain } from '../../stage/memory-stage.ts';
import { type LoopbackBroker, startLoopbackBroker } from '../../stand-ins/broker/broker.ts';
import { scaledClock } from '../scaled-clock.ts';
import { messages, SUBSCRIPTION, TOPIC } from './loopback-source.ts';

/** What is wrong with the broker, and its end. */
interface Outage {
  begin(broker: LoopbackBroker): unknown;
  end(broker: LoopbackBroker): unknown;
}
const away: Outage = { begin: (broker) => broker.stop(), end: (broker) => broker.start() };
const deaf: Outage = {
  begin: (broker) => {
    broker.faults.acks = { fault: 'ignore', times: Number.POSITIVE_INFINITY };
  },
  end: (broker) => {
    broker.faults.acks = undefined;
  },
};
const silent: Outage = {
  begin: (broker) => {
    broker.faults.isSilent = true;
  },
  end: (broker) => {
    broker.faults.isSilent = false;
  },
};

/** A run that meets the outage once a file is stored, or while it reads; how it ends, and how long after. */
async function runThrough(outage: Outage, when: 'acknowledging' | 'receiving', lastsMs: number) {
  const broker = await startLoopbackBroker({ autoCreatesTopics: false });
  broker.createTopic(TOPIC);
  // One entry: all of it is taken before the outage begins.
  broker.publish(TOPIC, messages(10), { batchSize: 10 });
  const clock = scaledClock(24);
  const topic = parseTopicName(TOPIC) as TopicName;
  const options = contractOptions({ serviceUrl: broker.serviceUrl, subscription: SUBSCRIPTION, topic });
  const source = createWireSource({ ...options, clock });
  const store = createMemoryStore();
  let beganMs = Number.NaN;
  const begin = async () => {
    if (!Number.isNaN(beganMs)) return;
    beganMs = clock.now();
    await outage.begin(broker);
    clock.sleep(lastsMs).then(
      () => outage.end(broker),
      () => undefined,
    );
  };
  if (when === 'acknowledging') {
    const { create } = store;
    store.create = async (...call) => {
      await begin();
      return create.apply(store, call);
    };
  } else
    broker.onCommand((name) =>
      name === 'flow' && Number.isNaN(beganMs) ? begin().then(() => 'drop' as const) : undefined,
    );
  const { failure } = await runDrain(createFakeBroker(1), store, {
    source,
    clock,
    startedAtMs: clock.now(),
    stopReadingAtMs: clock.now() + 800_000,
  });
  const seconds = (clock.now() - beganMs) / 1_000;
  await source.close();
  const backlog = broker.subscriptionBacklog(TOPIC, SUBSCRIPTION);
  await broker.close();
  return { failure, seconds, backlog, objects: store.objects.size };
}

// They only wait.
describe.concurrent('an outage', () => {
  it.each([
    ['acknowledging', 'away', away],
    ['acknowledging', 'deaf to acknowledgements', deaf],
    ['acknowledging', 'silent', silent],
    ['receiving', 'away', away],
  ] as const)('of 105 s does not end a run that is %s while the broker is %s', async (when, _, outage) => {
    expect(await runThrough(outage, when, 105_000)).toMatchObject({
      failure: undefined,
      backlog: 0,
      objects: 1,
    });
  });

  it.each([
    ['acknowledging', 'away', away],
    ['acknowledging', 'deaf to acknowledgements', deaf],
    ['receiving', 'away', away],
  ] as const)('ends a run after about 120 s that is %s while the broker is %s', async (when, _, outage) => {
    const { failure, seconds } = await runThrough(outage, when, 3_600_000);
    expect(failure).toMatchObject({ code: 'source', retryable: true, hint: expect.stringMatching(/broker/) });
    expect(seconds).toBeGreaterThan(110);
    expect(seconds).toBeLessThan(150);
  });
});
