// What brokers refuse with, and what the hint says to do: the answers are those that Pulsar 2.7.2 to 4.0.7 gave.
import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { LISTENER_IGNORED } from '../../../src/pulsar/wire/cluster.ts';
import { SERVER_ERROR } from '../../../src/pulsar/wire/protocol/tables.ts';
import { createWireSource } from '../../../src/pulsar/wire/source.ts';
import { parseTopicName, type TopicName } from '../../../src/topic-name.ts';
import { contractOptions } from '../../contract/contract-options.ts';
import { createSource, failureOf, openSource, startBroker, TOPIC } from './loopback-source.ts';

interface Failure {
  readonly hint: string;
  readonly retryable: boolean;
}
const opened = (...args: Parameters<typeof createSource>) =>
  failureOf(createSource(...args).open()) as Promise<Failure>;

async function brokerWithTopic() {
  const broker = await startBroker();
  broker.createTopic(TOPIC);
  return broker;
}

describe('over the binary protocol', () => {
  it.each([
    ['2.7.2, 2.8.1, 2.9.1', 'MetadataError', 'Policies not found for public/nons namespace'],
    ['2.10.1', 'MetadataError', 'Namespace not found'],
    ['3.0.0', 'TopicNotFound', 'Namespace not found'],
    ['4.0.7', 'TopicNotFound', 'Tenant or namespace or topic does not exist: nope/nope'],
  ] as const)(
    'a namespace or tenant that is not there is reported as such (%s)',
    async (_, error, message) => {
      const broker = await brokerWithTopic();
      broker.onCommand((name) =>
        name === 'partitionMetadata' ? { error: SERVER_ERROR[error], message } : undefined,
      );
      expect(await opened(broker)).toMatchObject({
        retryable: false,
        hint: expect.stringMatching(/PULSAR_TOPIC.*tenant, namespace or topic/),
      });
    },
  );

  it('metadata that cannot be read just now is no missing namespace', async () => {
    const broker = await brokerWithTopic();
    const refusal = { error: SERVER_ERROR.MetadataError, message: 'Failed to read: No such ledger exists' };
    broker.onCommand((name) => (name === 'partitionMetadata' ? refusal : undefined));
    const failure = await opened(broker);
    expect(failure.retryable).toBe(true);
    expect(failure.hint ?? '').not.toContain('PULSAR_TOPIC');
  });

  it.each([
    [
      '2.7.2 to 3.0.0',
      'org.apache.pulsar.broker.PulsarServerException: the broker do not have nope listener',
    ],
    ['4.0.7', 'the broker do not have nope listener'],
  ])(
    'a listener that the brokers do not know is reported by its setting, at once (%s)',
    async (_, message) => {
      const broker = await brokerWithTopic();
      broker.onCommand((name) =>
        name === 'lookupTopic' ? { error: SERVER_ERROR.ServiceNotReady, message } : undefined,
      );
      expect(await opened(broker, { listenerName: 'nope' })).toMatchObject({
        retryable: false,
        hint: expect.stringContaining('PULSAR_LISTENER_NAME'),
      });
    },
  );
});

it.each([undefined, 'vpc'])(
  'a listener that another client asks for is none of ours (%s), and the lookup is tried again',
  async (listenerName) => {
    const broker = await brokerWithTopic();
    const message = 'the broker do not have nope listener';
    let lookups = 0;
    broker.onCommand((name) =>
      name === 'lookupTopic' && ++lookups === 1
        ? { error: SERVER_ERROR.ServiceNotReady, message }
        : undefined,
    );
    await openSource(broker, listenerName === undefined ? {} : { listenerName });
    expect(lookups).toBeGreaterThan(1);
  },
);

describe('a consumer that a policy does not allow', () => {
  it.each(['exclusive', 'failover'] as const)(
    'is a failure, and not taken for another run at work (%s)',
    async (subscriptionType) => {
      for (const message of [
        'Topic reached max consumers limit',
        'Subscription reached max consumers limit',
      ]) {
        const broker = await brokerWithTopic();
        const refusal = { error: SERVER_ERROR.ConsumerBusy, message };
        broker.onCommand((name) => (name === 'subscribe' ? refusal : undefined));
        expect(await opened(broker, { subscriptionType })).toMatchObject({
          retryable: false,
          message: expect.stringContaining(message),
          hint: expect.stringContaining('maxConsumersPerTopic'),
        });
      }
    },
  );

  it('is reported with where to look, whatever the policy is', async () => {
    const broker = await brokerWithTopic();
    const message = `Topic[{${TOPIC}}] doesn't support Exclusive sub type!`;
    const refusal = { error: SERVER_ERROR.NotAllowedError, message };
    broker.onCommand((name) => (name === 'subscribe' ? refusal : undefined));
    expect(await opened(broker)).toMatchObject({
      retryable: false,
      message: expect.stringContaining(message),
      hint: expect.stringContaining('policy'),
    });
  });
});

/** An HTTP server that gives one answer to everything. */
async function withHttp(answer: RequestListener, act: (serviceUrl: string) => Promise<void>): Promise<void> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    await act(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.close();
  }
}

const JETTY = { server: 'Jetty(9.4.57.v20241219)', 'content-type': 'application/json' };
const LISTENER_TRACE =
  '\n --- An unexpected error occurred in the server ---\n\nMessage: the broker do not have nope listener\n\nStacktrace:\n\norg.apache.pulsar.broker.PulsarServerException: the broker do not have nope listener\n\tat …';

describe('over HTTP', () => {
  it.each<[string, number, Record<string, string>, string, RegExp, RegExp]>([
    [
      'an unknown listener, 3.0.0 and 4.0.7',
      500,
      JETTY,
      JSON.stringify({ reason: LISTENER_TRACE }),
      /PULSAR_LISTENER_NAME/,
      /proxy/,
    ],
    [
      'an unknown listener, 2.8.1 to 2.10.1',
      500,
      JETTY,
      '{"status":"500","message":"Request failed."}',
      /PULSAR_LISTENER_NAME.*before Pulsar 2.11/,
      /proxy/,
    ],
    [
      'a login that is wrong',
      401,
      JETTY,
      '{"status":"401","message":"Authentication required"}',
      /PULSAR_TOKEN/,
      /gateway/,
    ],
    [
      'a role that may not',
      401,
      JETTY,
      '{"reason":"Unauthorized to validateTopicOperation for operation [LOOKUP]"}',
      /permission to consume/,
      /gateway/,
    ],
    [
      'a role that may not, 2.7.2',
      401,
      JETTY,
      '{"reason":"Don\'t have permission to administrate resources on this tenant"}',
      /permission to consume/,
      /gateway/,
    ],
    ['a missing topic', 404, JETTY, '{"reason":"Topic not exist"}', /PULSAR_TOPIC/, /gateway/],
    [
      'a gateway that wants a login',
      401,
      { server: 'nginx', 'www-authenticate': 'Basic' },
      '<html>401 Authorization Required</html>',
      /gateway.*401.*If it is the cluster itself: .*PULSAR_TOKEN/,
      /permission to consume/,
    ],
    [
      'a gateway that forbids',
      403,
      { server: 'nginx' },
      '<html>403 Forbidden</html>',
      /gateway/,
      /permission to consume|PULSAR_TOPIC/,
    ],
    [
      'a gateway that knows no such page',
      404,
      { server: 'nginx' },
      '<html>404 Not Found</html>',
      /gateway/,
      /PULSAR_TOPIC/,
    ],
    [
      'a gateway in JSON',
      404,
      {},
      '{"message":"no Route matched with those values"}',
      /gateway/,
      /PULSAR_TOPIC/,
    ],
    [
      'a load balancer without a broker',
      503,
      {},
      '<html>503 Service Unavailable</html>',
      /load balancer/,
      /PULSAR_TOPIC/,
    ],
    ['a login page', 200, {}, '<html>Please log in</html>', /proxy, a login page/, /PULSAR_TOPIC/],
  ])('%s', async (_, status, headers, body, hint, never) => {
    const answer: RequestListener = ({ url }, response) =>
      void (url?.startsWith('/admin') ? response.end('0') : response.writeHead(status, headers).end(body));
    await withHttp(answer, async (serviceUrl) => {
      const failure = await opened({ serviceUrl }, { listenerName: 'nope' });
      expect(failure.hint).toMatch(hint);
      expect(failure.hint).not.toMatch(never);
    });
  });

  it.each(['http://[', 'pulsar://127.0.0.1:1', 'ftp://x/'])(
    'a redirect to %s is no answer of Pulsar',
    async (location) => {
      const answer: RequestListener = (_request, response) =>
        void response.writeHead(302, { location }).end();
      await withHttp(answer, async (serviceUrl) => {
        expect(await opened({ serviceUrl })).toMatchObject({
          code: 'source',
          hint: expect.stringMatching(/proxy/),
        });
      });
    },
  );

  it('says by which words the broker refused, in one line', async () => {
    const answer: RequestListener = (_request, response) =>
      void response.writeHead(500, JETTY).end(JSON.stringify({ reason: LISTENER_TRACE }));
    await withHttp(answer, async (serviceUrl) => {
      expect(await opened({ serviceUrl })).toMatchObject({
        message: expect.stringMatching(/answered 500 \(the broker do not have nope listener\)$/),
      });
    });
  });

  it.each([15, 17])(
    'a broker that passes over the name of the listener is reported once (protocol %i)',
    async (version) => {
      const broker = await startBroker();
      broker.createTopic(TOPIC, 3);
      broker.faults.protocolVersion = version;
      const warnings: unknown[] = [];
      const options = contractOptions({
        serviceUrl: broker.httpUrl,
        topic: parseTopicName(TOPIC) as TopicName,
        listenerName: 'outside',
      });
      const logger = {
        ...options.logger,
        warn: (fields: object, text: string) => void warnings.push([text, fields]),
      };
      const source = createWireSource({ ...options, logger });
      await source.open();
      await source.close();
      const ignored = [[LISTENER_IGNORED, { listenerName: 'outside', broker: broker.serviceUrl }]];
      expect(warnings).toEqual(version === 15 ? ignored : []);
    },
  );

  it('over pulsar:// every broker knows the name', async () => {
    const broker = await brokerWithTopic();
    broker.faults.protocolVersion = 15;
    await openSource(broker, { listenerName: 'outside' });
  });

  it('an address that brokers advertise and that is not reached is not said to be the one of the settings', async () => {
    const answer: RequestListener = ({ url }, response) =>
      void response.end(
        JSON.stringify(url?.startsWith('/lookup') ? { brokerUrl: 'pulsar://127.0.0.1:1' } : 0),
      );
    await withHttp(answer, async (serviceUrl) => {
      expect((await opened({ serviceUrl }, { listenerName: 'outside' })).hint).toMatch(
        /before Pulsar 2\.8 passes over PULSAR_LISTENER_NAME/,
      );
      const { hint } = await opened({ serviceUrl });
      expect(hint).toMatch(/PULSAR_SERVICE_URL answers.*the brokers advertise.*PULSAR_LISTENER_NAME chooses/);
      expect(hint).not.toMatch(/before Pulsar 2\.8|Check PULSAR_SERVICE_URL/);
    });
  });
});

it('a broker that a look-up over pulsar:// names and that is not reached is reported as what it is', async () => {
  const broker = await brokerWithTopic();
  broker.onAnswer((name, fields) => {
    if (name === 'lookupTopicResponse') Object.assign(fields, { brokerServiceUrl: 'pulsar://127.0.0.1:1' });
    return undefined;
  });
  const failure = await opened(broker);
  expect(failure).toMatchObject({ retryable: true });
  expect(failure.hint).toMatch(/PULSAR_SERVICE_URL answers.*the brokers advertise/);
});

describe('at a port of another kind', () => {
  it.each<[string, Buffer, RegExp]>([
    ['HTTP', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), /^HTTP is spoken there: .* http:\/\//],
    ['TLS', Buffer.from([0x15, 3, 3, 0, 2, 2, 0x50]), /^TLS is spoken there: .* pulsar\+ssl:\/\//],
    ['something else', Buffer.from('220 mail.example ESMTP\r\n'), /scheme \(pulsar, .*fits its port/],
  ])('%s is reported', async (_, bytes, hint) => {
    const server = createTcpServer((socket) => void socket.end(bytes));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const serviceUrl = `pulsar://127.0.0.1:${(server.address() as AddressInfo).port}`;
    expect((await opened({ serviceUrl })).hint).toMatch(hint);
    server.close();
  });
});
