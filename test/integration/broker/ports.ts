// Ports for processes that cannot choose one by themselves. Nobody else gets them: they are below those that the system
// gives to connections and to listeners of port 0, and the first of their block is held by a listener as its lock.
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';

const FIRST_PORT = 10_000;
const BLOCKS = 750;
/** The lock, and those that are given. */
const BLOCK_SIZE = 8;
/** A block that has a port of somebody else is passed over. */
const MAX_TRIES = 100;

/** Locks of this process, which end with it. */
const locks: Server[] = [];

/** Free ports of 127.0.0.1, at most seven, that are this process's until it ends. @throws if there are none */
export async function freePorts<Count extends number>(count: Count): Promise<PortsOf<Count>> {
  const start = Math.floor(Math.random() * BLOCKS);
  for (let nth = 0; nth < MAX_TRIES; nth++) {
    const base = FIRST_PORT + ((start + nth) % BLOCKS) * BLOCK_SIZE;
    const lock = await listenOn(base);
    if (lock === undefined) continue;
    const ports = Array.from({ length: count }, (_, i) => base + 1 + i);
    if (await areFree(ports)) {
      locks.push(lock.unref());
      return ports as PortsOf<Count>;
    }
    await close(lock);
  }
  throw new Error(`no block of ${MAX_TRIES} has ${count} free ports`);
}

type PortsOf<Count extends number, Ports extends number[] = []> = Ports['length'] extends Count
  ? Ports
  : PortsOf<Count, [...Ports, number]>;

async function areFree(ports: readonly number[]): Promise<boolean> {
  for (const port of ports) {
    const server = await listenOn(port);
    if (server === undefined) return false;
    await close(server);
  }
  return true;
}

/** `undefined`: somebody has this port. */
async function listenOn(port: number): Promise<Server | undefined> {
  const server = createServer().listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
    return server;
  } catch {
    return undefined;
  }
}

async function close(server: Server): Promise<void> {
  server.close();
  await once(server, 'close');
}
