// A TCP proxy that passes everything on a little later, in both directions: a service that is far away.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface DelayProxy {
  readonly port: number;
  stop(): Promise<void>;
}

/** Passes on to a port of 127.0.0.1, asked for at each connection; an answer comes `roundTripMs` later than it would. */
export async function startDelayProxy(targetPort: () => number, roundTripMs: number): Promise<DelayProxy> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const target = connect(targetPort(), '127.0.0.1');
    for (const [from, to] of [
      [client, target],
      [target, client],
    ] as const) {
      sockets.add(from);
      from.setNoDelay(true);
      from.on('error', () => undefined);
      // Timers of one length fire in the order in which they were set.
      const later = (action: () => void) => setTimeout(action, roundTripMs / 2);
      from.on('data', (chunk) => later(() => to.write(chunk)));
      from.once('end', () => later(() => to.end()));
      from.once('close', () => {
        sockets.delete(from);
        later(() => to.destroy());
      });
    }
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
