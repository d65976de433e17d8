import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameSplitter } from '../../../../src/pulsar/wire/protocol/frame.ts';
import { type ReceiveBlock, ReceiveMemory } from '../../../../src/pulsar/wire/protocol/receive-memory.ts';

const MIB = 1_048_576;

const framed = (bytes: Uint8Array) => {
  const size = Buffer.alloc(4);
  size.writeUInt32BE(bytes.length);
  return Buffer.concat([size, bytes]);
};

/** Received as a socket does it: into the room that there is, so much of it at a time. */
function receive(splitter: FrameSplitter, stream: Buffer, atOnce: number): void {
  for (let at = 0; at < stream.length; ) {
    const room = splitter.room();
    const copied = stream.copy(room, 0, at, Math.min(stream.length, at + atOnce));
    splitter.filled(copied);
    at += copied;
  }
}

describe('memory that is received into', () => {
  it('keeps each entry as it came until it is released, whatever comes, waits and is released when', () => {
    const frames = fc.array(
      fc.record({
        sizeBytes: fc.oneof(
          fc.integer({ min: 4, max: 2_000 }),
          fc.integer({ min: 60_000, max: 300_000 }),
          fc.integer({ min: 150_000, max: 1_200_000 }),
        ),
        /** So many frames later it is released. */
        waits: fc.oneof(fc.integer({ min: 0, max: 12 }), fc.constant(Number.POSITIVE_INFINITY)),
      }),
      { maxLength: 40 },
    );
    const limits = fc.constantFrom(0, MIB, 4 * MIB);
    fc.assert(
      fc.property(frames, limits, fc.integer({ min: 1_000, max: 400_000 }), (sent, limit, atOnce) => {
        const memory = new ReceiveMemory(limit);
        const held: { at: number; frame: Buffer; block: ReceiveBlock | undefined; until: number }[] = [];
        const isWhole = ({ frame, at }: { frame: Buffer; at: number }) =>
          frame.length === sent[at]?.sizeBytes && frame.equals(Buffer.alloc(frame.length, at + 1));
        let count = 0;
        const splitter = new FrameSplitter((frame, block) => {
          const at = count++;
          block?.hold();
          held.push({ at, frame, block, until: at + (sent[at]?.waits ?? 0) });
          for (const one of held.filter(({ until }) => until <= at)) {
            expect(isWhole(one)).toBe(true);
            one.block?.release();
            held.splice(held.indexOf(one), 1);
          }
        }, memory);
        const bodies = sent.map(({ sizeBytes }, at) => framed(Buffer.alloc(sizeBytes, at + 1)));
        receive(splitter, Buffer.concat(bodies), atOnce);
        expect(count).toBe(sent.length);
        expect(held.every(isWhole)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it('uses blocks again when everything in them is released, and only then', () => {
    const memory = new ReceiveMemory(64 * MIB);
    const held: ReceiveBlock[] = [];
    const blocks = new Set<ReceiveBlock>();
    const splitter = new FrameSplitter((_, block) => {
      block?.hold();
      held.push(block as ReceiveBlock);
      blocks.add(block as ReceiveBlock);
    }, memory);
    const frame = framed(Buffer.alloc(100_000, 1));
    const receiveMany = () => {
      for (let i = 0; i < 100; i++) receive(splitter, frame, 64_000);
    };
    receiveMany();
    const before = blocks.size;
    expect(before).toBeGreaterThan(9);
    for (const block of held.splice(0)) block.release();
    receiveMany();
    expect(blocks.size).toBe(before);
    receiveMany();
    expect(blocks.size).toBeGreaterThan(before);
  });

  it('copies entries out of their blocks beyond its limit: an entry that waits keeps a whole block', () => {
    const memory = new ReceiveMemory(2 * MIB);
    const waiting: Buffer[] = [];
    const blocks = new Set<ReceiveBlock>();
    let count = 0;
    const splitter = new FrameSplitter((frame, block) => {
      if (block !== undefined) blocks.add(block);
      if (count++ % 100 > 0) return;
      block?.hold();
      waiting.push(frame);
    }, memory);
    for (let i = 0; i < 3_000; i++) receive(splitter, framed(Buffer.alloc(10_000, i)), 64_000);
    expect(waiting.map((frame) => frame[0])).toEqual(Array.from({ length: 30 }, (_, i) => (i * 100) % 256));
    expect(blocks.size * memory.blockBytes).toBeLessThan(3 * MIB);
  });

  it('gives no room any more once the stream is over, and has its block back', () => {
    const memory = new ReceiveMemory(2 * MIB);
    const splitter = new FrameSplitter(() => splitter.close(), memory);
    splitter.push(Buffer.concat([framed(Buffer.alloc(100)), framed(Buffer.alloc(100))]));
    expect(splitter.room()).toHaveLength(0);
    expect(memory.usedBytes).toBe(0);
  });
});
