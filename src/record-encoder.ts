// Many messages to the bytes of their records at once. It only saves memory traffic: the bytes are those of encodeRecord.
import type { Message } from './ports.ts';
import { encodeRecord } from './record.ts';

/** Text is written out at this length: strings over 128 KB are dear to the garbage collector. */
const FLUSH_LENGTH = 16_384;

/** An encoder that learns how much longer records are than their payloads, so that its buffers fit. */
export function createRecordEncoder(): (messages: readonly Message[]) => Buffer {
  let bytesPerPayloadByte = 1.2;
  return (messages) => {
    if (messages.length === 0) return Buffer.alloc(0);
    let payloadBytes = 0;
    for (const { payload } of messages) payloadBytes += (payload?.length ?? 0) + 256;
    let buffer = Buffer.allocUnsafeSlow(Math.ceil(payloadBytes * bytesPerPayloadByte) + 64);
    let used = 0;
    let text = '';
    const flush = () => {
      // No character takes more than three bytes, so that counting is needed only near the end.
      if (used + text.length * 3 > buffer.length) {
        const needed = used + Buffer.byteLength(text);
        if (needed > buffer.length) {
          const larger = Buffer.allocUnsafeSlow(Math.ceil(needed * 1.25));
          buffer.copy(larger, 0, 0, used);
          buffer = larger;
        }
      }
      used += buffer.write(text, used);
      text = '';
    };
    for (const message of messages) {
      text += encodeRecord(message);
      if (text.length > FLUSH_LENGTH) flush();
    }
    flush();
    bytesPerPayloadByte += ((used / payloadBytes) * 1.02 - bytesPerPayloadByte) / 4;
    return buffer.subarray(0, used);
  };
}
