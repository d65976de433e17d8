// An object of a killed run in an archive class: its body cannot be read for hours, and the next run goes on all the same.
import { describe, expect, it } from 'vitest';
import { BackupError } from '../../src/errors.ts';
import type { ObjectStore } from '../../src/ports.ts';
import { createFakeBroker, type FakeBroker } from '../fakes/memory-source.ts';
import { createMemoryStore, type MemoryStore } from '../fakes/memory-store.ts';
import { expectAllStoredOnce, fill, runDrain } from '../stage/memory-stage.ts';

/** The store, in which the bodies of objects of records cannot be read. */
function archived(inner: MemoryStore): ObjectStore {
  const read: ObjectStore['read'] = (key, options) => {
    if (!key.includes('.jsonl') || key.includes('_contents/')) return inner.read(key, options);
    throw new BackupError('store', `${key} is archived`, { details: { code: 'InvalidObjectState' } });
  };
  const head: ObjectStore['head'] = async (key, options) => {
    const found = await inner.head(key, options);
    return found && { ...found, storageClass: key.includes('_contents/') ? undefined : 'ARCHIVE' };
  };
  return { ...inner, read, head };
}

const limits = (maxMessages: number) => ({ limits: { maxMessages, maxBytes: 1e9 }, isArchived: true });

async function crashBeforeAcknowledging(broker: FakeBroker, store: ObjectStore, options: object) {
  broker.hook = (call) => {
    if (call === 'acknowledge') throw new BackupError('source', 'killed');
  };
  expect((await runDrain(broker, store, options)).failure).toBeInstanceOf(BackupError);
  broker.hook = undefined;
}

describe.each([
  ['small ones', 60, 100, 1],
  ['batches', 30, 100, 3],
  ['uploads in parts', 20, 1_000_000, 1],
])('%s', (_, count, bytes, batch) => {
  it.each([
    ['the same', 10, 10],
    ['less than our file', 4, 10],
    ['more than our file', 10, 4],
    ['more than several of our files', 12, 3],
  ])('holding %s', async (_what, before, after) => {
    const broker = createFakeBroker(1);
    fill(broker, count, batch, bytes);
    const inner = createMemoryStore();
    const store = archived(inner);
    await crashBeforeAcknowledging(broker, store, limits(before));
    for (let run = 0; run < 2; run++) {
      const result = await runDrain(broker, store, limits(after));
      expect(result.failure).toBeUndefined();
    }
    expectAllStoredOnce(broker, inner);
    expect(broker.backlog()).toBe(0);
  });
});

it('a damaged one is not taken for stored: nothing says what its bytes hold', async () => {
  const broker = createFakeBroker(1);
  fill(broker, 10);
  const inner = createMemoryStore();
  const store = archived(inner);
  await crashBeforeAcknowledging(broker, store, limits(4));
  const [first] = [...inner.objects.values()].filter(
    ({ key }) => key.includes('.jsonl') && !key.includes('_contents'),
  );
  inner.objects.set(first?.key as string, { ...(first as NonNullable<typeof first>), crc64: '12345' });
  const result = await runDrain(broker, store, limits(10));
  expect(result.failure).toMatchObject({ details: { code: 'InvalidObjectState' } });
  expect(broker.backlog()).toBe(10);
});

it('other classes keep no such notes', async () => {
  const broker = createFakeBroker(1);
  fill(broker, 10);
  const store = createMemoryStore();
  await runDrain(broker, store);
  expect([...store.objects.keys()].filter((key) => key.includes('_contents'))).toEqual([]);
});
