// What the demo publishes: orders, and now and then what makes an archive interesting. Same seed, same messages.
import type { OutgoingMessage } from '../ports.ts';

const CITIES = ['广州', 'Hong Kong', 'São Paulo', 'Łódź', '東京'];

/** Message number `index` of the demo: mostly JSON with key and properties; every kind of oddity in between. */
export function demoMessage(index: number, startMs: number): OutgoingMessage {
  const common = {
    sequenceId: index,
    orderingKey: undefined,
    key: `customer-${index % 97}`,
    properties: [
      ['source', 'demo'],
      ['kind', 'order'],
    ],
    eventTimeMs: startMs - 1_000 + index,
  } satisfies Omit<OutgoingMessage, 'payload'>;
  if (index % 100 === 20) return { ...common, payload: null };
  if (index % 100 === 40) return { ...common, payload: Buffer.alloc(0) };
  if (index % 100 === 60)
    return {
      ...common,
      payload: Uint8Array.of(0x89, 0x50, 0x4e, 0x47, index & 0xff, 0),
      key: Uint8Array.of(0xff, index & 0xff),
    };
  if (index % 100 === 80) return { ...common, payload: Buffer.from(`two lines,\nand a "quote" № ${index}`) };
  const order = {
    order: index,
    city: CITIES[index % CITIES.length],
    cents: (index * 7_919) % 100_000,
    note: 'x'.repeat((index * 31) % 200),
  };
  return { ...common, payload: Buffer.from(JSON.stringify(order)) };
}
