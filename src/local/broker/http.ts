// The broker's HTTP side: partition metadata, topic lookup, and as much of the admin REST API as tests use.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { roleOf } from './access.ts';
import { type BrokerContext, PROXIED_BROKER } from './broker-context.ts';
import type { Topic } from './topic.ts';

/** What HTTP needs of the broker besides its topics. */
export interface HttpContext extends BrokerContext {
  httpUrl(): string;
  unload(topic: Topic): void;
}

interface Answer {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Asked {
  readonly context: HttpContext;
  readonly query: URLSearchParams;
  readonly body: string;
  /** Full topic name. */
  readonly topic: string;
  /** The last segment where the route has one: a subscription. */
  readonly name: string;
  readonly path: string;
}

const TOPIC = '/admin/v2/persistent/([^/]+/[^/]+/[^/]+)';

const ROUTES: readonly (readonly [method: RegExp, path: RegExp, answer: (asked: Asked) => Answer])[] = [
  [/^GET$/, /^\/lookup\/v2\/topic\/persistent\/([^/]+\/[^/]+\/[^/]+)$/, lookUp],
  [/^GET$/, new RegExp(`^${TOPIC}/partitions$`), getPartitions],
  [/^PUT$/, new RegExp(`^${TOPIC}/partitions$`), (asked) => createTopic(asked, Number(asked.body))],
  [/^PUT$/, new RegExp(`^${TOPIC}$`), (asked) => createTopic(asked, 0)],
  [/^DELETE$/, new RegExp(`^${TOPIC}(?:/partitions)?$`), deleteTopic],
  [/^PUT$/, new RegExp(`^${TOPIC}/subscription/([^/]+)$`), createSubscription],
  [/^DELETE$/, new RegExp(`^${TOPIC}/subscription/([^/]+)$`), deleteSubscription],
  [/^GET$/, new RegExp(`^${TOPIC}/stats$`), ({ context, topic }) => stats(context.topics.all(topic), false)],
  [
    /^GET$/,
    new RegExp(`^${TOPIC}/partitioned-stats$`),
    ({ context, topic }) => stats(context.topics.all(topic), true),
  ],
  [/^(PUT|POST)$/, new RegExp(`^${TOPIC}/unload$`), unload],
  [/^POST$/, new RegExp(`^${TOPIC}/terminate$`), terminate],
];

/** Answers one request. Never throws. */
export async function answerHttp(
  context: HttpContext,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://loopback');
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) body += chunk;
  if (context.faults.isHttpSilent) return;
  const answer = respond(context, request.method ?? 'GET', url, request.headers.authorization, body);
  const text =
    answer.body === undefined
      ? ''
      : typeof answer.body === 'string'
        ? answer.body
        : JSON.stringify(answer.body);
  response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers }).end(text);
}

function respond(
  context: HttpContext,
  method: string,
  url: URL,
  authorization: string | undefined,
  body: string,
): Answer {
  if (context.faults.httpStatus !== undefined) return failure(context.faults.httpStatus, 'Fails on purpose');
  const role = roleOf(context.tokens, /^Bearer (.*)$/.exec(authorization ?? '')?.[1]);
  if (role === undefined) return failure(401, 'Authentication required');
  const path = decodeURIComponent(url.pathname);
  if (path === '/admin/v2/brokers/health') return { status: 200, body: 'ok' };
  for (const [methods, pattern, answer] of ROUTES) {
    const match = methods.test(method) ? pattern.exec(path) : null;
    if (match === null) continue;
    if (!role.isAllowed) return failure(403, `Don't have permission: ${role.role}`);
    const topic = context.topics.fullName(match[1] as string);
    if (topic === undefined) return failure(412, 'Topic name is not valid');
    if (!context.topics.hasNamespaceOf(topic)) return failure(404, 'Namespace does not exist');
    try {
      return answer({
        context,
        query: url.searchParams,
        body,
        topic,
        name: match[2] ?? '',
        path: url.pathname,
      });
    } catch (error) {
      return failure(404, (error as Error).message);
    }
  }
  return failure(404, 'The loopback broker has no such endpoint');
}

function failure(status: number, reason: string): Answer {
  return { status, body: { reason } };
}

function lookUp({ context, path }: Asked): Answer {
  const { faults } = context;
  if (faults.mustRedirect()) {
    const target = faults.redirectTo?.httpUrl ?? context.httpUrl();
    return { status: 307, headers: { location: `${target}${path}?authoritative=true` } };
  }
  const url = faults.proxiesThroughServiceUrl ? `pulsar://${PROXIED_BROKER}` : context.serviceUrl();
  return {
    status: 200,
    body: {
      // As Pulsar names them; the C++ client refuses an answer that has neither name of the TLS address.
      ...(context.isTls ? { brokerUrl: '', brokerUrlTls: url } : { brokerUrl: url }),
      brokerUrlSsl: context.isTls ? url : '',
      httpUrl: context.httpUrl(),
      nativeUrl: url,
    },
  };
}

function getPartitions({ context, topic, query }: Asked): Answer {
  const partitions = context.topics.partitionsOf(topic);
  const mayBeMade = query.get('checkAllowAutoCreation') === 'true' && context.autoCreatesTopics;
  if (partitions === undefined && !mayBeMade) return failure(404, `Topic ${topic} not found`);
  return { status: 200, body: { partitions: partitions ?? 0, deleted: false } };
}

function createTopic({ context, topic }: Asked, partitions: number): Answer {
  if (context.topics.partitionsOf(topic) !== undefined) return failure(409, 'This topic already exists');
  if (!Number.isInteger(partitions) || partitions < 0)
    return failure(412, 'Number of partitions should be a number');
  context.topics.create(topic, partitions);
  return { status: 204 };
}

function deleteTopic({ context, topic, query }: Asked): Answer {
  const isBusy = context.topics.all(topic).some(({ subscriptions }) => subscriptions.size > 0);
  if (isBusy && query.get('force') !== 'true')
    return failure(412, 'Topic has active producers/subscriptions');
  context.topics.delete(topic);
  return { status: 204 };
}

function createSubscription({ context, topic, name, body }: Asked): Answer {
  const from = /earliest|"ledgerId"\s*:\s*-1\b/.test(body) ? 'earliest' : 'latest';
  const topics = context.topics.all(topic);
  if (topics.every(({ subscriptions }) => subscriptions.has(name))) {
    return failure(409, 'Subscription already exists for topic');
  }
  for (const each of topics) each.subscribe(name, from, context.subscriptionOptions);
  return { status: 204 };
}

function deleteSubscription({ context, topic, name, query }: Asked): Answer {
  const topics = context.topics.all(topic);
  const found = topics
    .map(({ subscriptions }) => subscriptions.get(name))
    .filter((each) => each !== undefined);
  if (found.length === 0) return failure(404, 'Subscription not found');
  if (found.some(({ consumers }) => consumers.length > 0) && query.get('force') !== 'true') {
    return failure(412, 'Subscription has active connected consumers');
  }
  for (const each of topics) each.subscriptions.delete(name);
  for (const each of found) each.closeConsumers();
  return { status: 204 };
}

function unload({ context, topic }: Asked): Answer {
  for (const each of context.topics.all(topic)) context.unload(each);
  return { status: 204 };
}

function terminate({ context, topic }: Asked): Answer {
  const topics = context.topics.all(topic);
  for (const each of topics) each.terminate();
  const last = topics[0]?.lastEntry;
  const { ledgerId, entryId } = last ?? { ledgerId: -1, entryId: -1 };
  return { status: 200, body: { ledgerId, entryId, partitionIndex: -1, batchIndex: -1, batchSize: 0 } };
}

function stats(topics: readonly Topic[], isPartitioned: boolean): Answer {
  const names = new Set(topics.flatMap(({ subscriptions }) => [...subscriptions.keys()]));
  const subscriptions = Object.fromEntries([...names].map((name) => [name, subscriptionStats(topics, name)]));
  const sum = { msgInCounter: topics.reduce((total, topic) => total + messagesIn(topic), 0), subscriptions };
  if (!isPartitioned) return { status: 200, body: sum };
  const partitions = Object.fromEntries(topics.map((topic) => [topic.name, stats([topic], false).body]));
  return { status: 200, body: { ...sum, metadata: { partitions: topics.length }, partitions } };
}

function subscriptionStats(topics: readonly Topic[], name: string) {
  const found = topics.map((topic) => topic.subscriptions.get(name)).filter((each) => each !== undefined);
  const consumers = found.flatMap((each) => each.consumers);
  return {
    type: found[0]?.type,
    msgBacklog: found.reduce((total, each) => total + each.backlogEntries, 0),
    unackedMessages: consumers.reduce((total, each) => total + each.unackedMessages, 0),
    activeConsumerName: found[0]?.active?.port.name,
    consumers: consumers.map(({ port, permits, unackedMessages, isBlocked }) => ({
      consumerName: port.name,
      availablePermits: permits,
      unackedMessages,
      blockedConsumerOnUnackedMsgs: isBlocked,
    })),
  };
}

function messagesIn(topic: Topic): number {
  return topic.entries.reduce((total, { messages }) => total + messages, 0);
}
