// Gives memory back at once. V8 frees what nobody needs when it looks for it, which is late for large buffers: it counts
// them as little. It frees no part of a buffer, and nothing that somebody else may still read.
import { MessageChannel } from 'node:worker_threads';

/** Whatever is moved there is gone. */
let nowhere: MessagePort | undefined;
type MessagePort = MessageChannel['port1'];

/** Frees the whole memory below the bytes, which have none from then on. */
export function freeMemory({ buffer }: Uint8Array<ArrayBuffer>): void {
  if (nowhere === undefined) {
    nowhere = new MessageChannel().port1;
    nowhere.close();
  }
  nowhere.postMessage(null, [buffer]);
}
