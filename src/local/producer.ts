// A small Pulsar producer for the demo, so that it can fill a real broker as well as the loopback one. One connection,
// no TLS, no reconnects: whoever needs a producer takes an official client.
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type CommandFields, type CommandName, FrameSplitter } from '../pulsar/wire/protocol/frame.ts';
import { LOOKUP_TYPE } from '../pulsar/wire/protocol/tables.ts';
import { type Command, decodeFrame, encodeFrame } from './broker/frames.ts';
import { encodeMessages, type LoopbackMessage, type PublishOptions } from './broker/publish.ts';

const MAX_FRAME_BYTES = 6 * 1_048_576;
const ANSWER_TIMEOUT_MS = 10_000;
/** Sent without having been acknowledged, at most. */
const WINDOW = 200;

export interface Producer {
  /** Resolves when the broker has all of them. May not be called side by side. */
  publish(messages: readonly LoopbackMessage[], options?: PublishOptions): Promise<void>;
  close(): void;
}

/** Opens a producer on one topic or partition, at the broker that owns it. `serviceUrl` is pulsar:// or http://. */
export async function openProducer(serviceUrl: string, topic: string, token?: string): Promise<Producer> {
  const place = serviceUrl.startsWith('pulsar://')
    ? await lookUpBinary(serviceUrl, topic, token)
    : await lookUpHttp(serviceUrl, topic, token);
  const connection = await openConnection(place, token);
  try {
    const producerName = `demo-${randomUUID().slice(0, 8)}`;
    connection.send('producer', { topic, producerId: 1, requestId: 1, producerName });
    await connection.take('producerSuccess');
    let sequenceId = 0;
    return {
      async publish(messages, options = {}) {
        const entries = encodeMessages(messages, sequenceId, { ...options, producerName });
        const size = options.batchSize || 1;
        let waiting = 0;
        for (const [index, entry] of entries.entries()) {
          const numMessages = Math.min(size, messages.length - index * size);
          connection.send('send', { producerId: 1, sequenceId, numMessages }, entry);
          sequenceId += numMessages;
          if (++waiting < WINDOW) continue;
          await connection.take('sendReceipt');
          waiting--;
        }
        for (; waiting > 0; waiting--) await connection.take('sendReceipt');
      },
      close: () => connection.close(),
    };
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** Makes a partitioned topic through the broker's admin API; one that exists already stays as it is. */
export async function createPartitionedTopic(
  httpUrl: string,
  topic: string,
  partitions: number,
  token?: string,
): Promise<void> {
  const response = await fetch(`${httpUrl}/admin/v2/${topic.replace('://', '/')}/partitions`, {
    method: 'PUT',
    headers: { 'Content-Type': 'application/json', ...authorization(token) },
    body: String(partitions),
    signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
  });
  if (!response.ok && response.status !== 409)
    throw new Error(`the broker does not make ${topic}: ${response.status} ${await response.text()}`);
}

/** How many partitions a topic has; 0: it is plain, or not there yet. */
export async function countPartitions(serviceUrl: string, topic: string, token?: string): Promise<number> {
  if (serviceUrl.startsWith('http')) {
    const response = await fetch(`${serviceUrl}/admin/v2/${topic.replace('://', '/')}/partitions`, {
      headers: authorization(token),
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    });
    if (!response.ok)
      throw new Error(`no partitions of ${topic}: ${response.status} ${await response.text()}`);
    return ((await response.json()) as { partitions?: number }).partitions ?? 0;
  }
  const connection = await openConnection({ url: serviceUrl, owner: serviceUrl }, token);
  try {
    connection.send('partitionMetadata', { topic, requestId: 1 });
    const { partitions, message } = await connection.take('partitionMetadataResponse');
    if (message !== undefined) throw new Error(`no partitions of ${topic}: ${message}`);
    return partitions ?? 0;
  } finally {
    connection.close();
  }
}

const authorization = (token: string | undefined): Record<string, string> =>
  token === undefined ? {} : { Authorization: `Bearer ${token}` };

async function lookUpHttp(serviceUrl: string, topic: string, token: string | undefined): Promise<Place> {
  const response = await fetch(`${serviceUrl}/lookup/v2/topic/${topic.replace('://', '/')}`, {
    headers: authorization(token),
    signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
  });
  if (!response.ok) throw new Error(`no lookup of ${topic}: ${response.status} ${await response.text()}`);
  const { brokerUrl } = (await response.json()) as { brokerUrl?: string };
  if (brokerUrl === undefined) throw new Error(`the lookup of ${topic} names no broker`);
  return { url: brokerUrl, owner: brokerUrl };
}

async function lookUpBinary(serviceUrl: string, topic: string, token: string | undefined): Promise<Place> {
  let url = serviceUrl;
  for (let hop = 0; hop < 5; hop++) {
    const connection = await openConnection({ url, owner: url }, token);
    try {
      connection.send('lookupTopic', { topic, requestId: 1, authoritative: hop > 0 });
      const answer = await connection.take('lookupTopicResponse');
      if (answer.response === LOOKUP_TYPE.Failed || answer.brokerServiceUrl === undefined)
        throw new Error(`no lookup of ${topic}: ${answer.message ?? 'no reason given'}`);
      if (answer.response === LOOKUP_TYPE.Connect) {
        const { brokerServiceUrl: owner } = answer;
        return answer.proxyThroughServiceUrl ? { url: serviceUrl, owner } : { url: owner, owner };
      }
      url = answer.brokerServiceUrl;
    } finally {
      connection.close();
    }
  }
  throw new Error(`the lookup of ${topic} leads in a circle`);
}

/** Where to connect, and the broker that owns the topic: another one where a proxy stands between. */
interface Place {
  readonly url: string;
  readonly owner: string;
}

interface Connection {
  send<N extends CommandName>(name: N, fields: CommandFields<N>, rest?: Uint8Array): void;
  /** The next command of that name; what is not waited for is dropped. */
  take<N extends CommandName>(name: N): Promise<CommandFields<N>>;
  close(): void;
}

async function openConnection({ url, owner }: Place, token: string | undefined): Promise<Connection> {
  const { hostname, port } = new URL(url.replace(/^pulsar:/, 'http:'));
  const socket: Socket = connect(Number(port || 6650), hostname);
  const timeout = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  await once(socket, 'connect', { signal: timeout });
  const received: Command[] = [];
  let failure: Error | undefined;
  let wake: () => void = () => undefined;
  const send: Connection['send'] = (name, fields, rest) => {
    socket.write(encodeFrame(name, fields, rest));
  };
  const splitter = new FrameSplitter((frame) => {
    const command = decodeFrame(frame);
    if (command.name === 'ping') send('pong', {});
    else if (command.name === 'error' || command.name === 'sendError')
      failure = new Error(`the broker answers: ${command.fields['message']}`);
    else received.push(command);
  });
  splitter.maxFrameBytes = MAX_FRAME_BYTES;
  socket.on('data', (chunk) => {
    splitter.push(chunk);
    wake();
  });
  socket.on('error', (error) => {
    failure ??= error;
  });
  socket.on('close', () => {
    failure ??= new Error(`${url} ended the connection`);
    wake();
  });
  const take = async <N extends CommandName>(name: N): Promise<CommandFields<N>> => {
    const deadline = setTimeout(() => socket.destroy(new Error(`${url} does not answer`)), ANSWER_TIMEOUT_MS);
    try {
      for (;;) {
        if (failure !== undefined) throw failure;
        const at = received.findIndex((command) => command.name === name);
        if (at >= 0) return received.splice(at, 1)[0]?.fields as CommandFields<N>;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    } finally {
      clearTimeout(deadline);
    }
  };
  const connection: Connection = { send, take, close: () => void socket.destroy() };
  send('connect', {
    clientVersion: 'tdmq-backup-demo',
    protocolVersion: 19,
    ...(owner !== url && { proxyToBrokerUrl: new URL(owner.replace(/^pulsar:/, 'http:')).host }),
    ...(token !== undefined && { authMethodName: 'token', authData: Buffer.from(token) }),
  });
  await take('connected');
  return connection;
}
