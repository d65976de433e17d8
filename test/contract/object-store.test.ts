import { createCosStore } from '../../src/cos/store.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { retryingStore } from '../../src/retrying-store.ts';
import { cosConfig } from '../cos/answering-server.ts';
import { startLoopback } from '../cos/loopback.ts';
import { keepingLogger } from '../fakes/loggers.ts';
import { createMemoryStore } from '../fakes/memory-store.ts';
import { describeObjectStoreContract } from './object-store.ts';

const end = async () => {};

describeObjectStoreContract('the store in memory', async () => ({
  store: createMemoryStore(),
  isAtomic: true,
  end,
}));

describeObjectStoreContract('the retrying store', async () => ({
  // One try: what fails in the contract fails for good, and nobody waits for it.
  store: retryingStore(createMemoryStore(), { clock: systemClock, logger: keepingLogger(), attempts: 1 }),
  isAtomic: true,
  end,
}));

describeObjectStoreContract('the COS adapter', async () => {
  const { cos, end } = await startLoopback();
  return { isAtomic: true, store: createCosStore(cosConfig(cos.url), { logger: keepingLogger() }), end };
});

// There COS ignores the refusal to overwrite; looking first leaves a moment between the look and the creation.
describeObjectStoreContract('the COS adapter over a bucket with versioning', async () => {
  const { cos, end } = await startLoopback();
  cos.setVersioning('Suspended');
  return { isAtomic: false, store: createCosStore(cosConfig(cos.url), { logger: keepingLogger() }), end };
});
