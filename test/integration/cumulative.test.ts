// On an ordinary subscription a run acknowledges with positions alone, whatever the broker's version.
import { describe, expect, it } from 'vitest';
import { createFakeBroker } from '../fakes/memory-source.ts';
import { createMemoryStore } from '../fakes/memory-store.ts';
import { runDrain } from '../stage/memory-stage.ts';
import { backlogOf, createSubscription, createTopic } from './broker/topics.ts';
import { startBrokerProxy } from './broker-proxy.ts';
import { publish } from './python-clients.ts';
import { useBroker } from './use-broker.ts';
import { wireSource } from './wire-drain.ts';

describe.each(['2.7.2', '4.0.7'] as const)('a real broker %s', (version) => {
  const broker = useBroker({ version });

  it('is acknowledged with positions, never entry by entry, where nothing is held back', async () => {
    const topic = await createTopic(broker(), 'positions');
    await createSubscription(broker(), topic, 'backup');
    const proxy = await startBrokerProxy(() => broker().serviceUrl);
    const ackTypes: unknown[] = [];
    proxy.watcher = ({ name, fields }) => {
      if (name === 'ack') ackTypes.push(fields['ackType']);
      return undefined;
    };
    const store = createMemoryStore();
    for (let run = 0; run < 2; run++) {
      await publish(broker().serviceUrl, { topic, count: 200, size: 100, batching: false });
      const source = wireSource({ serviceUrl: proxy.serviceUrl, topic });
      const limits = { maxMessages: 50, maxBytes: 1e9 };
      const { failure, tally } = await runDrain(createFakeBroker(1), store, { source, limits });
      await source.close();
      expect(failure).toBeUndefined();
      expect(tally.messages).toBe(200);
    }
    await proxy.close();
    expect(ackTypes).toEqual(Array.from({ length: 8 }, () => 1));
    expect(await backlogOf(broker(), topic, 'backup')).toBe(0);
  });
});
