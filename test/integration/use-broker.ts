// One broker for the tests of a file: started before them, ended after them, its log shown when one of them fails.
import { afterAll, afterEach, beforeAll } from 'vitest';
import { type Broker, type BrokerOptions, startBroker } from './broker/broker.ts';

/** Call it at the top of a file or a `describe`; inside the tests, the function it answers gives the broker. */
export function useBroker(options: BrokerOptions = {}): () => Broker {
  let broker: Broker | undefined;
  beforeAll(async () => {
    broker = await startBroker(options);
  });
  afterEach(async ({ task }) => {
    if (task.result?.state === 'fail') console.error(`the broker's log ends:\n${await broker?.logTail()}`);
  });
  afterAll(async () => {
    await broker?.stop();
  });
  return () => {
    if (broker === undefined) throw new Error('the broker is there only inside tests');
    return broker;
  };
}
