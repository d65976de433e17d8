// TCP proxies on 127.0.0.1 that pass everything on as a network would: one that is long, and one of little bandwidth.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface TcpProxy {
  readonly port: number;
  stop(): Promise<void>;
}

/** Passes on to a port of 127.0.0.1, asked for at each connection; an answer comes `roundTripMs` later than it would. */
export const startDelayProxy = (targetPort: () => number, roundTripMs: number): Promise<TcpProxy> =>
  startProxy(targetPort, (client, target) => {
    // Timers of one length fire in the order in which they were set.
    const later = (action: () => void) => setTimeout(action, roundTripMs / 2);
    for (const [from, to] of [
      [client, target],
      [target, client],
    ] as const) {
      from.setNoDelay(true);
      from.on('data', (chunk) => later(() => to.write(chunk)));
      from.once('end', () => later(() => to.end()));
      from.once('close', () => later(() => to.destroy()));
    }
  });

/** Passes on to a port of 127.0.0.1; each connection gets its answers at `bytesPerSecond`. */
export const startThrottlingProxy = (targetPort: number, bytesPerSecond: number): Promise<TcpProxy> =>
  startProxy(
    () => targetPort,
    (client, target) => {
      client.once('close', () => target.destroy());
      target.once('close', () => client.destroy());
      client.pipe(target);
      target.on('data', (chunk) => {
        target.pause();
        const isTaken = client.write(chunk) ? Promise.resolve() : once(client, 'drain');
        const resume = () => setTimeout(() => target.resume(), (chunk.length / bytesPerSecond) * 1_000);
        isTaken.then(resume, () => undefined);
      });
    },
  );

async function startProxy(
  targetPort: () => number,
  join: (client: Socket, target: Socket) => void,
): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const target = connect(targetPort(), '127.0.0.1');
    for (const socket of [client, target]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => sockets.delete(socket));
    }
    join(client, target);
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
