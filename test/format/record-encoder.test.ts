import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import wabt from 'wabt';
import { encodeRecord } from '../../src/format/record.ts';
import { encodeRecords } from '../../src/format/record-encoder.ts';
import { JSON_TEXT_WASM } from '../../src/lib/json-text.ts';
import type { Message } from '../../src/ports.ts';
import { createFakeBroker, type FakePartition, publish } from '../fakes/memory-source.ts';

/** In one piece; the body must know its size. */
function encode(messages: readonly Message[]): Buffer {
  const { chunks, sizeBytes } = encodeRecords(messages);
  const bytes = Buffer.concat(Array.from(chunks, (chunk) => Buffer.from(chunk)));
  expect(sizeBytes).toBe(bytes.length);
  return bytes;
}

it('gives the bytes of encodeRecord, whatever is beside a message', () => {
  const payload = fc.oneof(
    fc.constant(null),
    fc.uint8Array({ maxLength: 300 }),
    fc.string({ unit: 'grapheme', maxLength: 3_000 }),
    fc.array(fc.nat(127)).map((codes) => String.fromCharCode(...codes)),
    fc.constantFrom('é'.repeat(40_000), '"'.repeat(50_000), '\0'.repeat(300_000), '世'.repeat(100_000), ''),
    fc.constantFrom(new Uint8Array(70_000).fill(0xff), new Uint8Array(2_000_000).fill(0xff)),
  );
  fc.assert(
    fc.property(fc.array(fc.array(payload, { maxLength: 6 }), { maxLength: 4 }), (batches) => {
      const [partition] = createFakeBroker(1).partitions as [FakePartition];
      for (const batch of batches) {
        const { messages } = publish(partition, batch);
        expect(encode(messages).toString()).toBe(messages.map(encodeRecord).join(''));
      }
    }),
  );
});

it('gives the bytes of encodeRecord where everything but the payload is larger than its buffers', () => {
  const [partition] = createFakeBroker(1).partitions as [FakePartition];
  const { messages } = publish(partition, ['a', Uint8Array.of(0xff), null]);
  const large = messages.map((message) => ({
    ...message,
    properties: [['name', '"ü'.repeat(700_000)]] as [[string, string]],
  }));
  expect(encode(large).equals(Buffer.from(large.map(encodeRecord).join('')))).toBe(true);
});

it('makes the records of large entries as they are asked for, and again, whatever is encoded between', () => {
  const [partition] = createFakeBroker(1).partitions as [FakePartition];
  const text = `"ü\n${'x'.repeat(100_000)}`.repeat(100);
  const binary = new Uint8Array(9_000_000).fill(0xfe);
  const { messages } = publish(partition, ['small', text, binary, null]);
  const expected = Buffer.from(messages.map(encodeRecord).join(''));
  const { chunks, sizeBytes } = encodeRecords(messages);
  expect(Array.isArray(chunks)).toBe(false);
  expect(sizeBytes).toBe(expected.length);
  for (let time = 0; time < 2; time++) {
    const made: Uint8Array[] = [];
    for (const chunk of chunks) {
      made.push(Buffer.from(chunk));
      encodeRecords(messages.slice(0, 1));
    }
    expect(Math.max(...made.map(({ length }) => length))).toBeLessThan(1_000_000);
    expect(Buffer.concat(made).equals(expected)).toBe(true);
  }
});

it('runs the code that is in json-text.wat', async () => {
  const { parseWat } = await wabt();
  const source = readFileSync(new URL('../../src/lib/json-text.wat', import.meta.url), 'utf8');
  const { buffer } = parseWat('json-text.wat', source).toBinary({});
  expect(Buffer.from(buffer).toString('base64')).toBe(JSON_TEXT_WASM);
});
