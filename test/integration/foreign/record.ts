// Records the corpus of entries anew (test/fixtures/entries): publishes the cases with the clients of others to a real
// broker, lets the official Java client read them, and keeps what the broker sent. `npm run corpus` needs JDK 17, Maven,
// Python, Go with a C compiler, Rust and protoc.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { RawClient } from '../../local/broker/raw-client.ts';
import { CORPUS_FOLDER, type RecordedTopic } from '../../pulsar/wire/corpus.ts';
import { type Broker, startBroker } from '../broker/broker.ts';
import { CHUNKED_MAX_BYTES, type Client, casesOf } from './cases.ts';
import { publishCases, readWithJava } from './clients.ts';

const CLIENTS: readonly Client[] = ['java', 'python', 'go', 'go-cgo', 'rust'];

async function record(broker: Broker, client: Client, isChunked: boolean): Promise<RecordedTopic[]> {
  const cases = casesOf(client).filter(({ kind }) => (kind === 'chunked') === isChunked);
  await publishCases(broker, cases);
  const topics = cases.map(({ topic }) => topic);
  const read = await readWithJava(broker.serviceUrl, topics);
  const recorded: RecordedTopic[] = [];
  for (const { codec, kind, topic } of cases) {
    const messages = read.filter((one) => one.topic === topic);
    recorded.push({ client, codec, kind, topic, entries: await entriesOf(broker, topic), messages });
    console.log(topic, `${messages.length} messages`);
  }
  return recorded;
}

/** Everything in the topic, as the broker sends it. */
async function entriesOf(broker: Broker, topic: string): Promise<RecordedTopic['entries']> {
  const client = await RawClient.open(broker);
  try {
    await client.subscribe(topic.replace('persistent://', ''), 'recorder');
    client.send('getLastMessageId', { consumerId: 0, requestId: 2 });
    const { lastMessageId } = await client.take('getLastMessageIdResponse');
    const entries: { id: string; base64: string }[] = [];
    client.flow(10_000);
    for (;;) {
      const { messageId, rest } = await client.take('message');
      entries.push({ id: `${messageId?.ledgerId}:${messageId?.entryId}`, base64: rest.toString('base64') });
      if (messageId?.entryId === lastMessageId?.entryId) return entries;
    }
  } finally {
    client.close();
  }
}

const corpus = new Map<Client, RecordedTopic[]>();
for (const extraConf of [{}, { maxMessageSize: String(CHUNKED_MAX_BYTES) }]) {
  const broker = await startBroker({ extraConf });
  try {
    for (const client of CLIENTS) {
      const recorded = await record(broker, client, 'maxMessageSize' in extraConf);
      corpus.set(client, [...(corpus.get(client) ?? []), ...recorded]);
    }
  } finally {
    await broker.stop();
  }
}
await mkdir(CORPUS_FOLDER, { recursive: true });
for (const [client, recorded] of corpus) {
  const lines = recorded.map((one) => `${JSON.stringify(one)}\n`).join('');
  await writeFile(join(CORPUS_FOLDER, `${client}.jsonl.gz`), gzipSync(lines, { level: 9 }));
}
