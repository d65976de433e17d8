// What it means when an HTTP address answers something else than what was asked: a refusal of Pulsar's, or a page of
// something before it, or something that is no broker.
import { BackupError } from '../../errors.ts';
import { unknownHint } from './authentication.ts';
import type { ConnectionOptions } from './connection.ts';
import {
  BAD_NAME,
  LISTENER_HINT,
  NO_PERMISSION,
  NO_TOPIC,
  saysUnknownListener,
} from './protocol/server-error.ts';
import { SCHEME_HINT } from './socket-error.ts';

/** An answer, read. */
export interface HttpAnswer {
  readonly status: number;
  readonly text: string;
  /** Of a redirect, where it says so. */
  readonly location: string | undefined;
  /** The header of this name. */
  readonly server: string | undefined;
}

/** The failure that an answer without 200 is. */
export function refusalOf(
  answer: HttpAnswer,
  { host, protocol }: URL,
  what: string,
  options: ConnectionOptions,
): BackupError {
  const { status, text } = answer;
  const reason = reasonOf(text);
  const isUnknownListener = saysUnknownListener(reason);
  const hint = isUnknownListener ? LISTENER_HINT : hintFor(answer, reason, protocol === 'https:', options);
  return new BackupError(
    'source',
    `${what}: ${host} answered ${status}${reason === '' ? '' : ` (${reason})`}`,
    {
      retryable: !isUnknownListener && (status === 429 || status >= 500),
      ...(hint === undefined ? {} : { hint }),
      details: { httpStatus: status },
    },
  );
}

function hintFor(
  answer: HttpAnswer,
  reason: string,
  isTls: boolean,
  options: ConnectionOptions,
): string | undefined {
  const { status } = answer;
  // Pulsar answers 401 also to a role that it knows and that lacks the permission.
  if (
    status === 403 ||
    (status === 401 && /unauthorized to|not authorized|(?:not|don't) have permission/i.test(reason))
  ) {
    return isOfPulsar(answer) ? NO_PERMISSION : foreignHint(status);
  }
  if (status === 401) {
    const hint = unknownHint(options, reason, isTls);
    return isOfPulsar(answer) ? hint : `${foreignHint(status)} If it is the cluster itself: ${hint}`;
  }
  if (!isOfPulsar(answer)) return foreignHint(status);
  if (status === 404) return NO_TOPIC;
  if (status === 412) return BAD_NAME;
  if (status >= 500)
    return 'The broker could not answer. It is tried again while there is time; if it stays, look at the cluster.';
  if (status === 400 && /TLS|SSL|https/i.test(reason)) return SCHEME_HINT;
  return undefined;
}

/** Pulsar gives a reason in JSON; the Jetty in it writes its name into its own pages. */
function isOfPulsar({ text, server }: HttpAnswer): boolean {
  return (
    /^Jetty/i.test(server ?? '') ||
    /^\s*\{.*"reason"\s*:/s.test(text) ||
    /Powered by Jetty|jetty\.org/i.test(text)
  );
}

const foreignHint = (status: number): string =>
  `This is no answer of Pulsar's: something in front of the cluster (a gateway, a proxy, a load balancer), or something else at this address, answers ${status}. Check PULSAR_SERVICE_URL, and what is between here and there.`;

/** Pulsar's own words, in one line: of its JSON, of a stack trace in it, or of Jetty's JSON or page. */
function reasonOf(text: string): string {
  let words = /<title>Error \d+ (.*?)<\/title>/.exec(text)?.[1] ?? '';
  try {
    const answer = JSON.parse(text) as { reason?: unknown; message?: unknown };
    const reason = answer.reason ?? answer.message;
    if (typeof reason === 'string') words = /^Message: (.*)$/m.exec(reason)?.[1] ?? reason.trim();
  } catch {
    // Not JSON.
  }
  return words.split('\n', 1)[0]?.slice(0, 300) ?? '';
}

/** 200, but not what Pulsar answers. */
export function strangeAnswer(host: string, path: string): BackupError {
  return new BackupError('source', `${host} did not answer GET ${path} as Pulsar does`, {
    hint: 'Check that PULSAR_SERVICE_URL is the HTTP address of a Pulsar cluster, and that nothing before it (a proxy, a login page) answers in its place.',
  });
}
