// A TCP proxy that passes on what a service answers no faster than a network of little bandwidth would.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface ThrottlingProxy {
  readonly port: number;
  stop(): Promise<void>;
}

/** Passes on to a port of 127.0.0.1; each connection gets its answers at `bytesPerSecond`. */
export async function startThrottlingProxy(
  targetPort: number,
  bytesPerSecond: number,
): Promise<ThrottlingProxy> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const target = connect(targetPort, '127.0.0.1');
    for (const socket of [client, target]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => {
        sockets.delete(socket);
        client.destroy();
        target.destroy();
      });
    }
    client.pipe(target);
    target.on('data', (chunk) => {
      target.pause();
      const isTaken = client.write(chunk) ? Promise.resolve() : once(client, 'drain');
      const resume = () => setTimeout(() => target.resume(), (chunk.length / bytesPerSecond) * 1_000);
      isTaken.then(resume, () => undefined);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}
