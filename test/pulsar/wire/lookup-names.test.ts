// Whatever a topic is named, a lookup over HTTP asks for that one: nothing of it is taken for a part of the URL.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { systemClock } from '../../../src/lib/clock.ts';
import { httpLookup, httpPartitions } from '../../../src/pulsar/wire/http-lookup.ts';
import { DEFAULT_TIMINGS } from '../../../src/pulsar/wire/timer.ts';
import { parseTopicName, partitionTopic } from '../../../src/topic-name.ts';

let server: Server;
let asked: string[] = [];
beforeAll(async () => {
  server = createServer(({ url = '' }, response) => {
    asked.push(url);
    response.end(
      JSON.stringify(url.startsWith('/lookup') ? { brokerUrl: 'pulsar://b:1' } : { partitions: 2 }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(() => server.close());

const options = {
  clock: systemClock,
  timings: DEFAULT_TIMINGS,
  token: undefined,
  tls: {},
  runsFrom: undefined,
};
/** As Pulsar reads it: URLDecoder, to which a plus sign is a space. */
const decode = (text: string) => decodeURIComponent(text.replaceAll('+', ' '));

const topics = fc
  .oneof(
    fc.string({ unit: 'grapheme', minLength: 1 }),
    fc.string({ unit: fc.constantFrom(...'%+#?&=:;.,/\\ 订2e') }),
  )
  .map((name) => parseTopicName(`public/default/${name}`))
  .filter((topic) => topic !== undefined);

it('asks for exactly the topic and the listener that were named', async () => {
  await fc.assert(
    fc.asyncProperty(topics, fc.string({ unit: 'grapheme', minLength: 1 }), async (topic, listener) => {
      asked = [];
      const address = { host: '127.0.0.1', port: (server.address() as AddressInfo).port, tls: false };
      await httpPartitions(address, topic, options);
      const partition = parseTopicName(partitionTopic(topic, 1))?.topic as string;
      await httpLookup(address, topic, partition, listener, options);
      const [metadata = '', lookup = ''] = asked;
      const segment = '/public/default/([^/?#]+)';
      const asPath = new RegExp(`^/admin/v2/persistent${segment}/partitions\\?checkAllowAutoCreation=false$`);
      expect(decode(asPath.exec(metadata)?.[1] ?? '')).toBe(topic.topic);
      const asLookup = new RegExp(`^/lookup/v2/topic/persistent${segment}\\?listenerName=([^&]*)$`).exec(
        lookup,
      );
      expect(decode(asLookup?.[1] ?? '')).toBe(partition);
      expect(decode(asLookup?.[2] ?? '')).toBe(listener);
    }),
    { numRuns: 300 },
  );
});
