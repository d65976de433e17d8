// A proxy between a Pulsar client and a real broker that sees every command in both directions, and can hold, drop,
// rewrite or cut at any of them: what no broker at hand says can be put into one's mouth. By itself it changes none: a
// standalone broker sends clients back to the address that they asked.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { decodeFrame, encodeFrame } from '../../src/local/broker/frames.ts';
import { type CommandFields, type CommandName, FrameSplitter } from '../../src/pulsar/wire/protocol/frame.ts';

const MAX_FRAME_BYTES = 6 * 1_048_576;

/** A command on its way. */
export interface Passing {
  readonly name: CommandName;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly from: 'client' | 'broker';
  /** How many of this name have come, this one included. */
  readonly nth: number;
}

/** What arrives in a command's place: other fields, or another command. Its request id is to be among the fields. */
interface Rewritten {
  readonly name?: CommandName;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** `drop`: it does not arrive. `cut`: it does not, and the connection ends. */
export type Outcome = 'drop' | 'cut' | Rewritten | undefined;

/** Is asked about each command; one that it takes its time for waits, and all behind it. */
type Watcher = (passing: Passing) => Outcome | Promise<Outcome>;

export interface BrokerProxy {
  readonly serviceUrl: string;
  /** Passes everything on, where there is none. */
  watcher: Watcher | undefined;
  /**
   * The broker's side of a connection stays open when the client's has ended, as if nobody had told the broker;
   * `answers`: and its PINGs are answered.
   */
  lingers: 'silent' | 'answers' | undefined;
  /** How many commands of a name have come, dropped ones included. */
  count(name: CommandName): number;
  /** Ends what lingers, and every other connection. */
  cutAll(): void;
  close(): Promise<void>;
}

/** Starts a proxy to the broker at `target()`, on a free port of 127.0.0.1. */
export async function startBrokerProxy(target: () => string): Promise<BrokerProxy> {
  const counts = new Map<CommandName, number>();
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const broker = connect(Number(new URL(target()).port), '127.0.0.1');
    for (const socket of [client, broker]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => {});
      socket.once('close', () => sockets.delete(socket));
    }
    const cut = () => {
      client.destroy();
      broker.destroy();
    };
    client.once('close', () => {
      if (proxy.lingers === undefined) broker.destroy();
    });
    broker.once('close', () => client.destroy());
    pass(client, broker, 'client', cut);
    pass(broker, client, 'broker', cut);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const serviceUrl = `pulsar://127.0.0.1:${(server.address() as AddressInfo).port}`;

  function pass(source: Socket, sink: Socket, from: Passing['from'], cut: () => void): void {
    let line = Promise.resolve();
    const splitter = new FrameSplitter((frame) => {
      line = line.then(() => passFrame(frame, source, sink, from, cut));
    });
    splitter.maxFrameBytes = MAX_FRAME_BYTES;
    source.on('data', (chunk) => splitter.push(chunk));
  }

  async function passFrame(
    frame: Buffer,
    source: Socket,
    sink: Socket,
    from: Passing['from'],
    cut: () => void,
  ): Promise<void> {
    const { name, fields, rest } = decodeFrame(frame);
    if (name === 'ping' && sink.destroyed && proxy.lingers === 'answers')
      source.write(encodeFrame('pong', {}));
    const nth = (counts.get(name) ?? 0) + 1;
    counts.set(name, nth);
    const outcome = await proxy.watcher?.({ name, fields, from, nth });
    if (outcome === 'cut') cut();
    if (outcome === 'cut' || outcome === 'drop' || sink.destroyed) return;
    sink.write(
      outcome === undefined
        ? withSize(frame)
        : encodeFrame(outcome.name ?? name, outcome.fields as CommandFields<CommandName>, rest),
    );
  }

  const proxy: BrokerProxy = {
    serviceUrl,
    watcher: undefined,
    lingers: undefined,
    count: (name) => counts.get(name) ?? 0,
    cutAll() {
      for (const socket of sockets) socket.destroy();
    },
    async close() {
      server.close();
      proxy.cutAll();
      await once(server, 'close');
    },
  };
  return proxy;
}

/** A watcher that lets `change` rewrite the fields of every command of this name. */
export const rewriting =
  (name: CommandName, change: (fields: Passing['fields']) => Passing['fields']): Watcher =>
  (passing) =>
    passing.name === name ? { fields: change(passing.fields) } : undefined;

function withSize(frame: Buffer): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt32BE(frame.length);
  return Buffer.concat([size, frame]);
}
