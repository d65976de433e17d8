import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProtocolError } from '../../../../src/pulsar/wire/protocol/codec.ts';
import { decodeCommand, encodeCommand, FrameSplitter } from '../../../../src/pulsar/wire/protocol/frame.ts';

const framed = (bytes: Uint8Array) => {
  const frame = Buffer.alloc(4 + bytes.length);
  frame.writeUInt32BE(bytes.length);
  frame.set(bytes, 4);
  return frame;
};

describe('frames', () => {
  it('are cut out of a stream whatever the borders of its chunks are', () => {
    const anyFrames = fc.array(fc.uint8Array({ minLength: 4, maxLength: 200 }), { maxLength: 8 });
    fc.assert(
      fc.property(anyFrames, fc.array(fc.integer({ min: 1, max: 50 })), (bodies, cuts) => {
        const got: string[] = [];
        const splitter = new FrameSplitter((frame) => got.push(frame.toString('hex')));
        let rest = Buffer.concat(bodies.map(framed));
        for (const cut of cuts) {
          splitter.push(rest.subarray(0, cut));
          rest = rest.subarray(cut);
        }
        if (rest.length > 0) splitter.push(rest);
        expect(got).toEqual(bodies.map((body) => Buffer.from(body).toString('hex')));
      }),
    );
  });

  it('are refused before memory is taken where they are longer than agreed, or too short to hold a command', () => {
    const splitter = new FrameSplitter(() => undefined);
    splitter.maxFrameBytes = 1_000;
    expect(() => splitter.push(Buffer.from([0, 0, 3, 0xe9]))).toThrow(/1001 bytes/);
    expect(() => new FrameSplitter(() => undefined).push(Buffer.from('HTTP/1.1 400'))).toThrow(ProtocolError);
    expect(() => new FrameSplitter(() => undefined).push(Buffer.from([0, 0, 0, 3]))).toThrow(ProtocolError);
  });

  it('hold a command and what follows it', () => {
    const ping = decodeCommand(encodeCommand('ping', {}).subarray(4));
    expect(ping).toMatchObject({ name: 'ping', fields: {} });
    const message = encodeCommand('message', {
      consumerId: 1,
      messageId: { ledgerId: 5, entryId: 0 },
    }).subarray(4);
    const command = decodeCommand(Buffer.concat([message, Buffer.from('payload')]));
    expect(command).toMatchObject({ name: 'message', fields: { messageId: { ledgerId: 5, entryId: 0 } } });
    expect(command?.end).toBe(message.length);
  });

  it('with a command of a newer protocol are passed over', () => {
    expect(decodeCommand(Buffer.from('00000002085a', 'hex'))).toBeUndefined();
  });

  it.each([
    ['shorter than the size of their command', '00000009080d'],
    ['without a type', '000000026a00'],
    ['whose command has no body', '00000002080d'],
    ['that end within their body', '00000004080d6a05'],
  ])('%s are refused', (_, hex) => {
    expect(() => decodeCommand(Buffer.from(hex, 'hex'))).toThrow(ProtocolError);
  });
});
