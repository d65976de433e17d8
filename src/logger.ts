// Log lines as SCF's log service reads them: one JSON object per line on stdout, under 8 KB, fields one level deep.
// The code keeps secrets out of log lines; this file redacts whatever still looks like one, as the second line of
// defence.
import { type DestinationStream, pino, stdTimeFunctions } from 'pino';
import { BackupError, messageOf } from './errors.ts';
import type { Logger } from './ports.ts';

export interface LoggerOptions {
  /** One of pino's levels. */
  readonly level: string;
  readonly rule: string;
  readonly requestId: string;
  /** Gets whole lines; by default this process's stdout. */
  readonly destination?: DestinationStream;
  /** Texts that no line may hold, whatever they look like. */
  readonly secrets?: readonly string[];
}

/** SCF cuts log lines at 8 KB; some is left for what it puts around them. */
export const MAX_LINE_BYTES = 8_000;

const BLACKENED = '[secret]';
const SECRET_NAME = /secret|token|password|authorization|signature|credential|privatekey/i;
// No pattern may match a quote or a backslash without putting it back: the line has to remain JSON.
const SECRET_TEXT: readonly (readonly [RegExp, string])[] = [
  // a JWT, as TDMQ's role keys are
  [/\beyJ[\w-]+\.[\w-]+\.[\w-]*/g, BLACKENED],
  // the id of a Tencent Cloud API key
  [/\b(?:AKID|IKID)[A-Za-z0-9+/=_-]{10,}/g, BLACKENED],
  [
    /\b(secret_?key|session_?token|x-cos-security-token|password)(\\*["']?\s*[=:]\s*\\*["']?)[^\s"'\\&,;]+/gi,
    `$1$2${BLACKENED}`,
  ],
  [/\b(q-signature=)[0-9a-f]+/gi, `$1${BLACKENED}`],
  // user:password@host
  [/(:\/\/)[^\s/@"\\]+:[^\s/@"\\]+@/g, `$1${BLACKENED}@`],
];

/** A logger whose every line carries the rule and the request, and is written before the call returns. */
export function createLogger(options: LoggerOptions): Logger {
  const secrets = (options.secrets ?? []).filter((secret) => secret.length >= 6);
  return pino(
    {
      level: options.level,
      base: { rule: options.rule, requestId: options.requestId },
      messageKey: 'message',
      timestamp: stdTimeFunctions.isoTime,
      formatters: {
        level: (label) => ({ level: label }),
        log: (fields) => flatten(fields),
      },
      hooks: {
        streamWrite: (line) => fitLine(redact(line, secrets)),
      },
    },
    options.destination ?? { write: (line) => process.stdout.write(line) },
  );
}

/** Fields one level deep: `{backlog: {messages: 3}}` becomes `backlogMessages: 3`, an error its code, message, hint. */
function flatten(fields: object): Record<string, unknown> {
  const flat: Record<string, unknown> = {};
  const put = (given: string, value: unknown, depth: number): void => {
    if (value === undefined) return;
    // pino takes `toString` and the like for serializers.
    const name = given in Object.prototype ? `${given}_` : given;
    if (SECRET_NAME.test(name) && (typeof value === 'string' || isNested(value))) flat[name] = BLACKENED;
    else if (name === 'error' || name === 'err' || value instanceof Error) putError(name, value, depth);
    else if (typeof value === 'bigint') flat[name] = value.toString();
    else if (value instanceof Date) flat[name] = value.toISOString();
    else if (!isNested(value) || depth > 4) flat[name] = value;
    else if (ArrayBuffer.isView(value)) flat[name] = `${value.byteLength} bytes`;
    else for (const [inner, one] of Object.entries(value)) put(join(name, inner), one, depth + 1);
  };
  const putError = (name: string, error: unknown, depth: number): void => {
    const prefix = name === 'err' ? 'error' : name;
    put(join(prefix, 'message'), messageOf(error), depth + 1);
    if (error instanceof BackupError) {
      put(join(prefix, 'code'), error.code, depth + 1);
      put(prefix === 'error' ? 'hint' : join(prefix, 'hint'), error.hint, depth + 1);
      put(join(prefix, 'retryable'), error.retryable, depth + 1);
      for (const [inner, one] of Object.entries(error.details)) put(join('detail', inner), one, depth + 1);
    } else if (error instanceof Error) {
      put(join(prefix, 'stack'), error.stack, depth + 1);
    }
    const cause = error instanceof Error ? error.cause : undefined;
    if (cause !== undefined) put(join(prefix, 'cause'), causes(cause), depth + 1);
  };
  for (const [name, value] of Object.entries(fields)) put(name, value, 0);
  return flat;
}

/** Objects are taken apart; arrays and things that print themselves (Secret) are not. */
const isNested = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !('toJSON' in value);

const join = (outer: string, inner: string) => outer + inner.charAt(0).toUpperCase() + inner.slice(1);

/** The messages of a chain of causes, outermost first. */
function causes(cause: unknown): string {
  const messages: string[] = [];
  for (let one = cause; one !== undefined && messages.length < 5; ) {
    messages.push(messageOf(one));
    one = one instanceof Error ? one.cause : undefined;
  }
  return messages.join(' < ');
}

/** Works on the whole line, so that no field escapes. */
function redact(line: string, secrets: readonly string[]): string {
  let clean = line;
  for (const secret of secrets) clean = clean.replaceAll(JSON.stringify(secret).slice(1, -1), BLACKENED);
  for (const [pattern, instead] of SECRET_TEXT) clean = clean.replace(pattern, instead);
  return clean;
}

/** Cuts the longest texts until the line fits; the line stays valid JSON. */
function fitLine(line: string): string {
  if (Buffer.byteLength(line) <= MAX_LINE_BYTES) return line;
  const fields: Record<string, unknown> = JSON.parse(line);
  for (const name of Object.keys(fields)) {
    if (typeof fields[name] === 'object') fields[name] = JSON.stringify(fields[name]);
  }
  for (let limit = 2_048; ; limit = Math.floor(limit / 2)) {
    for (const [name, value] of Object.entries(fields)) {
      if (typeof value === 'string' && value.length > limit) fields[name] = `${cut(value, limit)}…`;
    }
    let fitted = `${JSON.stringify({ ...fields, truncated: true })}\n`;
    if (Buffer.byteLength(fitted) <= MAX_LINE_BYTES) return fitted;
    // If there are too many fields even with short texts, only the first ones stay.
    if (limit <= 64) {
      const names = Object.keys(fields);
      while (Buffer.byteLength(fitted) > MAX_LINE_BYTES) {
        delete fields[names.splice(-2, 1)[0] as string];
        fitted = `${JSON.stringify({ ...fields, truncated: true })}\n`;
      }
      return fitted;
    }
  }
}

/** The first `limit` units of a text, without half a surrogate pair at its end. */
function cut(text: string, limit: number): string {
  return text.slice(0, limit).replace(/[\ud800-\udbff]$/, '');
}
