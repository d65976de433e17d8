import { systemClock } from '../../src/clock.ts';
import { retryingStore } from '../../src/retrying-store.ts';
import { keepingLogger } from '../cos/answering-server.ts';
import { createMemoryStore } from '../fakes/memory-store.ts';
import { describeObjectStoreContract } from './object-store.ts';

const end = async () => {};

describeObjectStoreContract('the store in memory', async () => ({ store: createMemoryStore(), end }));

describeObjectStoreContract('the retrying store', async () => ({
  // One try: what fails in the contract fails for good, and nobody waits for it.
  store: retryingStore(createMemoryStore(), { clock: systemClock, logger: keepingLogger(), attempts: 1 }),
  end,
}));
