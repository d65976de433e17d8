import { describe, expect, it } from 'vitest';
import { storeUnreadable } from '../../src/format/unreadable.ts';
import { parseTopicName, type TopicName } from '../../src/topic-name.ts';
import { createMemoryStore } from '../fakes/memory-store.ts';

describe('storeUnreadable', () => {
  it('keeps the borders of the entries, so that each can be published again as it was', async () => {
    const store = createMemoryStore();
    const chunk = (entryId: number, text: string) => ({
      id: { ledgerId: 7, entryId },
      bytes: Buffer.from(text),
    });
    const entry = {
      kind: 'unreadable' as const,
      id: { ledgerId: 7, entryId: 9 },
      topic: 'persistent://t/n/orders-partition-2',
      reason: 'it is a chunked message; chunk 1 of 4 is missing',
      raw: [chunk(3, 'first'), chunk(6, ''), chunk(9, 'last one')],
    };
    const topic = parseTopicName('t/n/orders') as TopicName;
    const key = await storeUnreadable(store, 'a-rule', 'p/', topic, 2, entry, {});
    expect(key).toBe('p/_unreadable/t/n/orders/partition=2/000000000007-0000000009.bin');
    expect(store.objects.get(key)?.bytes.toString()).toBe('firstlast one');
    expect(JSON.parse(String(store.objects.get(key.replace('.bin', '.json'))?.bytes))).toEqual({
      format: 'tdmq-backup-unreadable/1',
      id: '7:9:2:-1',
      topic: 'persistent://t/n/orders-partition-2',
      reason: 'it is a chunked message; chunk 1 of 4 is missing',
      bytes: 13,
      entries: [
        { id: '7:3:2:-1', offset: 0, sizeBytes: 5 },
        { id: '7:6:2:-1', offset: 5, sizeBytes: 0 },
        { id: '7:9:2:-1', offset: 5, sizeBytes: 8 },
      ],
    });
    // On Shared, some of the chunks may be with another consumer the next time.
    const fewer = { ...entry, raw: [chunk(6, ''), chunk(9, 'last one')] };
    expect(await storeUnreadable(store, 'a-rule', 'p/', topic, 2, fewer, {})).toBe(key);
    const others = [
      [chunk(6, ''), chunk(9, 'lost one')],
      [chunk(3, 'first'), chunk(5, 'x'), chunk(9, 'last one')],
      [chunk(9, 'last')],
    ];
    for (const raw of others) {
      const storing = storeUnreadable(store, 'a-rule', 'p/', topic, 2, { ...entry, raw }, {});
      await expect(storing).rejects.toMatchObject({ code: 'config', details: { key } });
    }
    expect(store.objects.get(key)?.bytes.toString()).toBe('firstlast one');
  });
});
