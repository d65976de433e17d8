// What is known of an object by manifest and metadata: never more than they say.
import { expect, it } from 'vitest';
import { factsOf } from '../../../src/archive/catalog/object-facts.ts';
import { mayHold } from '../../../src/archive/catalog/selection.ts';
import type { ObjectKeyParts } from '../../../src/format/object-key.ts';
import { createMemoryStore } from '../../fakes/memory-store.ts';
import { message, storeObject } from '../archive-fixture.ts';

it('reads an object for a time outside of its ends where its manifest is from before those between them were named', async () => {
  const own = await storeObject(createMemoryStore(), [message(0, 1), message(0, 2)]);
  const parts: ObjectKeyParts = {
    ...{ tenant: 't', namespace: 'ns', topic: 'orders', date: '2026-11-23', partition: 0 },
    ...{ ledgerId: 7, entryId: 1, batchIndex: 0, compression: 'none' },
  };
  const twoHoursLater = { fromMs: Date.parse(own.lastPublishTime) + 2 * 3_600_000 };
  const mayHoldBy = (manifest: typeof own) =>
    mayHold({ parts, facts: factsOf(parts, manifest, undefined), manifest }, twoHoursLater);
  const { sha256: _, ...before } = { ...own, sha256: 'a' };
  expect(mayHoldBy(before)).toBe(true);
  expect(mayHoldBy({ ...before, sha256: 'a' })).toBe(false);
});
