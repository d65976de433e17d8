// Lookups over a cluster's HTTP address: how many partitions a topic has and which broker serves one. Follows
// redirects, a bounded number of them, and never from https to http.
import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { BackupError, withHint } from '../../errors.ts';
import type { TopicName } from '../../topic-name.ts';
import { authHeaders } from './authentication.ts';
import type { ConnectionOptions } from './connection.ts';
import { type HttpAnswer, refusalOf, strangeAnswer } from './http-refusal.ts';
import { LISTENER_HINT } from './protocol/server-error.ts';
import { type Address, hostPort } from './service-url.ts';
import { socketError } from './socket-error.ts';
import { startTimer } from './timer.ts';

const MAX_REDIRECTS = 10;
const MAX_ANSWER_BYTES = 1024 * 1024;

/** How many partitions a topic has; 0 for a plain topic. @throws BackupError `source` */
export async function httpPartitions(
  address: Address,
  topic: TopicName,
  options: ConnectionOptions,
): Promise<number> {
  const { tenant, namespace, topic: name } = topic;
  const path = `/admin/v2/persistent/${tenant}/${namespace}/${encodeURIComponent(name)}/partitions?checkAllowAutoCreation=false`;
  const answer = await getJson(address, path, `reading the partitions of ${topic.full}`, options);
  const { partitions } = answer as { partitions?: unknown };
  if (typeof partitions === 'number' && Number.isInteger(partitions) && partitions >= 0) return partitions;
  throw strangeAnswer(hostPort(address), path);
}

/** The broker URL that serves a topic (partition). @throws BackupError `source` */
export async function httpLookup(
  address: Address,
  topic: TopicName,
  partitionTopicName: string,
  listenerName: string | undefined,
  options: ConnectionOptions,
): Promise<string> {
  const { tenant, namespace } = topic;
  const listener = listenerName === undefined ? '' : `?listenerName=${encodeURIComponent(listenerName)}`;
  const path = `/lookup/v2/topic/persistent/${tenant}/${namespace}/${encodeURIComponent(partitionTopicName)}${listener}`;
  const what = `looking up ${topic.full}`;
  const answer = (await getJson(address, path, what, options).catch((error) => {
    throw listenerName === undefined ? error : unknownListener(error);
  })) as Record<string, unknown>;
  const url = address.tls ? answer['brokerUrlTls'] : (answer['brokerUrl'] ?? answer['nativeUrl']);
  if (typeof url === 'string' && url !== '') return url;
  if (address.tls) {
    throw new BackupError('source', `${what}: the broker has no TLS address (brokerUrlTls)`, {
      hint: `An https:// service URL needs brokers that speak pulsar+ssl; use http:// only in a network you trust.${listenerName === undefined ? '' : ' Perhaps only the listener of PULSAR_LISTENER_NAME has no such address.'}`,
    });
  }
  throw strangeAnswer(hostPort(address), path);
}

/** Where a redirect leads to, which is HTTP again. */
function redirectTarget(location: string, from: URL): URL {
  const target = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
  if (target === undefined || !/^https?:$/.test(target.protocol))
    throw strangeAnswer(from.host, from.pathname);
  return target;
}

/** Brokers of Pulsar 2.8 to 2.10 answer a listener's name that they do not know with 500, and no reason. */
function unknownListener(error: unknown): unknown {
  if (!(error instanceof BackupError) || error.details['httpStatus'] !== 500 || error.hint === LISTENER_HINT)
    return error;
  return withHint(
    error,
    `${LISTENER_HINT} (Brokers before Pulsar 2.11 answer 500 to a name that they do not know.)`,
  );
}

async function getJson(
  address: Address,
  path: string,
  what: string,
  options: ConnectionOptions,
): Promise<unknown> {
  let url = new URL(`${address.tls ? 'https' : 'http'}://${hostPort(address)}${path}`);
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const answer = await httpGet(url, what, options);
    if (answer.location === undefined) return parseAnswer(answer, url, what, options);
    const target = redirectTarget(answer.location, url);
    if (url.protocol === 'https:' && target.protocol !== 'https:') {
      throw new BackupError('source', `${what}: ${url.host} redirects from https to ${target.protocol}`, {
        hint: 'What began with TLS is not continued without it: let the cluster redirect to https:// (webServicePortTls), and look at what is before it.',
      });
    }
    url = target;
  }
  throw new BackupError('source', `${what}: more than ${MAX_REDIRECTS} redirects`, {
    retryable: true,
    hint: 'The brokers do not agree on who serves the topic, or something before them redirects without end; look at the cluster.',
  });
}

function parseAnswer(answer: HttpAnswer, url: URL, what: string, options: ConnectionOptions): unknown {
  if (answer.status !== 200) throw refusalOf(answer, url, what, options);
  try {
    const parsed: unknown = JSON.parse(answer.text);
    if (typeof parsed === 'number') return { partitions: parsed };
    if (typeof parsed === 'object' && parsed !== null) return parsed;
  } catch {
    // Reported below.
  }
  throw strangeAnswer(url.host, url.pathname);
}

/** One GET, with its redirect not followed. @throws BackupError `source` where there is no answer in time */
export function httpGet(
  url: URL,
  what: string,
  options: ConnectionOptions,
  signal?: AbortSignal,
): Promise<HttpAnswer> {
  const { clock, timings, tls, runsFrom } = options;
  const isTls = url.protocol === 'https:';
  const attempt = { isTls, tls, runsFrom };
  return new Promise((resolve, reject) => {
    const headers = { Accept: 'application/json', ...authHeaders(options, isTls) };
    const send = isTls ? requestHttps : requestHttp;
    const request = send(url, { headers, agent: false, ...tls, ...(signal && { signal }) }, (response) => {
      readText(response).then(
        (text) => {
          cancelTimer();
          const status = response.statusCode ?? 0;
          const location = status >= 300 && status < 400 ? response.headers.location : undefined;
          resolve({ status, text, location, server: response.headers['server'] as string | undefined });
        },
        (error: Error) => {
          cancelTimer();
          request.destroy();
          reject(socketError(`${what}: ${url.origin}`, error, attempt));
        },
      );
    });
    const cancelTimer = startTimer(clock, timings.connectTimeoutMs, () =>
      request.destroy(new Error(`no answer within ${timings.connectTimeoutMs} ms`)),
    );
    request.once('error', (error) => {
      cancelTimer();
      reject(socketError(`${what}: ${url.origin}`, error, attempt));
    });
    request.end();
  });
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > MAX_ANSWER_BYTES) throw new Error('the answer is too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
