// Publishes entries, byte for byte as given, to a broker over Pulsar's protocol. For tests: one connection, one
// producer per topic, no retries, no redirects (the brokers of the tests are alone).
import { once } from 'node:events';
import { connect } from 'node:net';
import { decodeFrame, encodeFrame } from '../../src/local/broker/frames.ts';
import type { EntryId } from '../../src/ports.ts';
import { type CommandFields, type CommandName, FrameSplitter } from '../../src/pulsar/wire/protocol/frame.ts';

/** An entry: checksum, metadata and payload; `chunk` where it is one of several of a message. */
export interface EntryBytes {
  readonly bytes: Uint8Array;
  readonly messages: number;
  readonly isChunk: boolean;
}

export interface BrokerPublisher {
  /** Publishes in order, and answers where the entries are stored. */
  publish(topic: string, entries: readonly EntryBytes[]): Promise<EntryId[]>;
  close(): Promise<void>;
}

type Fields = Record<string, unknown>;

/** Connects to `pulsar://host:port`. */
export async function connectPublisher(
  serviceUrl: string,
  token: string | undefined,
): Promise<BrokerPublisher> {
  const { hostname, port } = new URL(serviceUrl);
  const socket = connect(Number(port), hostname);
  const waiting = new Map<string, { resolve: (fields: Fields) => void; reject: (error: Error) => void }>();
  const producers = new Map<string, number>();
  let lastId = 0;
  let sequenceId = 0;
  let failure: Error | undefined;

  function fail(error: Error): void {
    failure ??= error;
    for (const { reject } of waiting.values()) reject(failure);
    waiting.clear();
  }

  function settle(key: string, fields: Fields): void {
    waiting.get(key)?.resolve(fields);
    waiting.delete(key);
  }

  socket.on('error', fail);
  socket.on('close', () => fail(new Error('the broker closed the connection')));
  const splitter = new FrameSplitter((frame) => {
    const { name, fields } = decodeFrame(frame);
    if (name === 'ping') send('pong', {});
    else if (name === 'connected') settle('connected', fields);
    else if (name === 'sendReceipt') settle(`send ${fields['producerId']} ${fields['sequenceId']}`, fields);
    else if (name === 'error' || name === 'sendError') fail(new Error(`${name}: ${fields['message']}`));
    // A producer that is not ready yet gets a second answer.
    else if (name !== 'producerSuccess' || fields['producerReady'] !== false)
      settle(`request ${fields['requestId']}`, fields);
  });
  socket.on('data', (chunk) => splitter.push(chunk));

  function send<N extends CommandName>(name: N, fields: CommandFields<N>, rest?: Uint8Array): void {
    socket.write(encodeFrame(name, fields, rest));
  }

  function answerTo(key: string): Promise<Fields> {
    if (failure !== undefined) return Promise.reject(failure);
    return new Promise((resolve, reject) => waiting.set(key, { resolve, reject }));
  }

  async function producerOf(topic: string): Promise<number> {
    const known = producers.get(topic);
    if (known !== undefined) return known;
    // A broker takes a topic over when somebody looks it up.
    const lookedUp = answerTo(`request ${++lastId}`);
    send('lookupTopic', { topic, requestId: lastId, authoritative: false });
    await lookedUp;
    const producerId = ++lastId;
    const made = answerTo(`request ${producerId}`);
    send('producer', { topic, producerId, requestId: producerId });
    await made;
    producers.set(topic, producerId);
    return producerId;
  }

  await once(socket, 'connect');
  const connected = answerTo('connected');
  send('connect', {
    clientVersion: 'contract',
    protocolVersion: 19,
    ...(token !== undefined && { authMethodName: 'token', authData: Buffer.from(token) }),
  });
  await connected;

  return {
    async publish(topic, entries) {
      const producerId = await producerOf(topic);
      const receipts = entries.map(({ bytes, messages, isChunk }) => {
        const receipt = answerTo(`send ${producerId} ${++sequenceId}`);
        send('send', { producerId, sequenceId, numMessages: messages, ...(isChunk && { isChunk }) }, bytes);
        return receipt;
      });
      return (await Promise.all(receipts)).map(({ messageId }) => {
        const { ledgerId, entryId } = messageId as { ledgerId: number; entryId: number };
        return { ledgerId, entryId };
      });
    },
    async close() {
      if (socket.destroyed) return;
      const closed = once(socket, 'close');
      socket.destroy();
      await closed;
    },
  };
}
