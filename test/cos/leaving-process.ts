// A process that uses a store in every way, closes it and prints what is left that would keep it alive.
import { createCosStore } from '../../src/cos/store.ts';
import { keepingLogger } from '../fakes/loggers.ts';
import { cosConfig } from './answering-server.ts';

const store = createCosStore(cosConfig(process.argv[2]), { logger: keepingLogger() });
const attributes = { metadata: {}, contentType: 'text/plain' };
const body = { chunks: [Buffer.alloc(3_000_000)], sizeBytes: 3_000_000 };
const controller = new AbortController();
await store.create('a', body, '1', attributes);
await store.head('a');
for await (const _chunk of store.read('a')) break;
const hanging = [
  store.create('hang', body, '1', attributes),
  store.create('hang-aborted', body, '1', attributes, { signal: controller.signal }),
  store.startUpload('hang', attributes),
  store.head('hang'),
  store.read('hang')[Symbol.asyncIterator]().next(),
];
const ended = Promise.allSettled(hanging);
const sockets = () => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
while (sockets() < hanging.length) await new Promise((resolve) => setImmediate(resolve));
controller.abort();
await hanging[1]?.catch(() => {});
await store.close();
await ended;
const left = () =>
  process
    .getActiveResourcesInfo()
    // Standard output and the module loader's own, which writes its cache when it likes; a store opens no files.
    .filter((name) => !['PipeWrap', 'TTYWrap', 'MessagePort', 'CloseReq', 'FSReqCallback'].includes(name));
// Destroyed sockets are gone some turns of the event loop later.
for (let turn = 0; turn < 20 && left().length > 0; turn++) {
  await new Promise((resolve) => setImmediate(resolve));
}
console.log(JSON.stringify({ left: left() }));
