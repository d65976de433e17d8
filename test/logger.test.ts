// The shape of a log line, its length, and that nothing that looks like a secret gets into it.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BackupError } from '../src/errors.ts';
import { Secret } from '../src/lib/secret.ts';
import { createLogger, MAX_LINE_BYTES } from '../src/logger.ts';
import { anyCharacter } from './any-character.ts';

/** The logger, for events that the function does not have. */
interface AnyLogger
  extends Record<'debug' | 'info' | 'warn' | 'error', (fields: object, message: string) => void> {}

function capture(options: { level?: string; secrets?: readonly string[] } = {}) {
  const lines: string[] = [];
  const logger = createLogger({
    level: 'info',
    rule: 'orders-backup',
    requestId: 'req-1',
    destination: { write: (line) => lines.push(line) },
    ...options,
  }) as AnyLogger;
  const last = (): Record<string, unknown> => JSON.parse(lines.at(-1) as string);
  return { logger, lines, last };
}

test('a line has level as text, ISO time, rule, request id, its fields and the message', () => {
  const { logger, lines, last } = capture();
  logger.info({ key: 'a/b', messages: 3 }, 'object stored');
  expect(last()).toEqual({
    level: 'info',
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    rule: 'orders-backup',
    requestId: 'req-1',
    key: 'a/b',
    messages: 3,
    message: 'object stored',
  });
  expect(lines[0]).toMatch(/^[^\n]+\n$/);
});

test('a level below the set one writes nothing', () => {
  const { logger, lines } = capture({ level: 'warn' });
  logger.debug({}, 'no');
  logger.info({}, 'no');
  logger.warn({}, 'yes');
  logger.error({}, 'yes');
  expect(lines).toHaveLength(2);
});

test('nested fields become flat ones, with names joined', () => {
  const { logger, last } = capture();
  logger.info(
    {
      backlog: { messages: 3, oldest: { publishTime: new Date(0) } },
      partitions: [0, 1],
      sequenceId: 2n ** 60n,
    },
    'run finished',
  );
  expect(last()).toMatchObject({
    backlogMessages: 3,
    backlogOldestPublishTime: '1970-01-01T00:00:00.000Z',
    partitions: [0, 1],
    sequenceId: '1152921504606846976',
  });
  expect(last()).not.toHaveProperty('backlog');
});

test('a BackupError becomes code, message, hint, details and causes, and hides no request id of the run', () => {
  const { logger, last } = capture();
  const error = new BackupError('store', 'COS refused the object', {
    hint: 'Allow cos:PutObject on the prefix.',
    details: { statusCode: 403, requestId: 'cos-1' },
    cause: new Error('outer', { cause: { message: 'inner' } }),
  });
  logger.error({ error }, 'run failed');
  expect(last()).toMatchObject({
    requestId: 'req-1',
    errorCode: 'store',
    errorMessage: 'COS refused the object',
    hint: 'Allow cos:PutObject on the prefix.',
    errorRetryable: false,
    detailStatusCode: 403,
    detailRequestId: 'cos-1',
    errorCause: 'outer < inner',
  });
  expect(last()).not.toHaveProperty('errorStack');
});

test('an error that is no BackupError keeps its stack; a thrown plain object its message', () => {
  const { logger, last } = capture();
  logger.error({ error: new TypeError('x is not a function') }, 'run failed');
  expect(last()).toMatchObject({
    errorMessage: 'x is not a function',
    errorStack: expect.stringContaining('.test.ts'),
  });
  logger.error({ error: { error: { message: 'as the SDK throws it' } } }, 'run failed');
  expect(last()).toMatchObject({ errorMessage: 'as the SDK throws it' });
});

const jwt = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl';

test.each([
  ['a JWT in a message', { error: new Error(`refused "${jwt}"`) }, jwt],
  ['a secret by its field name', { pulsarToken: 'plain-text' }, 'plain-text'],
  ['a secret object by its field name', { credentials: { id: 'plain-text' } }, 'plain-text'],
  ['a Secret', { value: new Secret('plain-text') }, 'plain-text'],
  ['an API key id', { text: 'id AKIDz8krbsJ5yKBZQpn74WFkmLPx3gnPhESA is unknown' }, 'AKIDz8krb'],
  ['a secret key inside JSON inside a text', { text: '{"SecretKey":"Gu5t9xGARNpq86cd98joQYCN3"}' }, 'Gu5t9x'],
  ['a session token header', { text: 'x-cos-security-token: abc123def' }, 'abc123def'],
  ['a signature', { url: 'https://b/k?q-signature=0123456789abcdef&x=1' }, '0123456789abcdef'],
  ['a password in a URL', { url: 'http://user:hunter22@host:80/' }, 'hunter22'],
  ['a secret that it was given', { text: 'it says "opensesame"' }, 'opensesame'],
])('redacts %s', (_, fields, secret) => {
  const { logger, lines, last } = capture({ secrets: ['opensesame'] });
  logger.error(fields, 'run failed');
  expect(lines[0]).not.toContain(secret);
  expect(lines[0]).toContain('[secret]');
  expect(last()).toMatchObject({ rule: 'orders-backup', message: 'run failed' });
});

test('a long text is cut, and the line says so', () => {
  const { logger, last } = capture();
  logger.error(
    { error: new BackupError('source', 'é"\\😀'.repeat(9_000), { hint: 'Short.' }) },
    'run failed',
  );
  expect(last()).toMatchObject({
    truncated: true,
    hint: 'Short.',
    errorCode: 'source',
    message: 'run failed',
  });
  expect((last()['errorMessage'] as string).endsWith('…')).toBe(true);
});

test('any fields give one line of JSON under the limit, with its message', () => {
  const awkward = fc.oneof(
    fc.string({ unit: anyCharacter, maxLength: 3_000 }),
    fc.constantFrom('password=a\\"b', 'http://"a":b@c', `"${jwt}\\`, 'secretkey":"x\\\\"', '\n', '\ud800'),
  );
  const fields = fc.dictionary(
    fc.string({ maxLength: 200 }).filter((name) => name !== 'message'),
    fc.oneof(awkward, fc.array(awkward), fc.dictionary(fc.string(), awkward), fc.double(), fc.constant(null)),
    { maxKeys: 40 },
  );
  fc.assert(
    fc.property(fields, (given) => {
      const { logger, lines, last } = capture();
      logger.info(given, 'object stored');
      expect(lines).toHaveLength(1);
      expect(lines[0]?.indexOf('\n')).toBe((lines[0] as string).length - 1);
      expect(Buffer.byteLength(lines[0] as string)).toBeLessThanOrEqual(MAX_LINE_BYTES);
      expect(last()).toMatchObject({ message: 'object stored' });
    }),
    { numRuns: 200 },
  );
});
