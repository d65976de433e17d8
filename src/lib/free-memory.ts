// Frees memory at once. V8 frees large unused buffers late, because it counts them as small. Frees no part of a
// buffer, and nothing that others may still read.
import { MessageChannel } from 'node:worker_threads';

/** Memory that is transferred there is freed. */
let nowhere: MessagePort | undefined;
type MessagePort = MessageChannel['port1'];

/** Frees the whole buffer under the bytes, which are empty from then on. */
export function freeMemory({ buffer }: Uint8Array<ArrayBuffer>): void {
  if (nowhere === undefined) {
    nowhere = new MessageChannel().port1;
    nowhere.close();
  }
  nowhere.postMessage(null, [buffer]);
}
