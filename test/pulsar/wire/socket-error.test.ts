// One hint for each way in which a connection fails before Pulsar is spoken. The errors are those of Node and OpenSSL.
import { expect, it } from 'vitest';
import { socketError } from '../../../src/pulsar/wire/socket-error.ts';

const own = { cert: Buffer.from('x'), key: Buffer.from('x') };
const errorOf = (code: string, message: string) =>
  Object.assign(new Error(message), code === '' ? {} : { code });
const attempt = { isTls: true, tls: {}, runsFrom: undefined } as const;

it.each<[string, string, object, RegExp, boolean]>([
  [
    'ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE',
    'sslv3 alert bad certificate',
    {},
    /asks for a client certificate/,
    false,
  ],
  ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'x', {}, /asks for a client certificate/, false],
  ['ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN', 'x', own, /does not accept the client certificate/, false],
  ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'x', own, /does not accept the client certificate/, false],
  ['ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED', 'x', own, /does not accept the client certificate/, false],
  ['ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE', 'x', {}, /wants a client certificate.*or has no cipher/, false],
  [
    'EPROTO',
    'write EPROTO 80:error:0A00042E:SSL routines::tlsv1 alert protocol version',
    {},
    /no version of TLS/,
    false,
  ],
  ['ERR_SSL_TLSV1_UNRECOGNIZED_NAME', 'tlsv1 alert unrecognized name', {}, /no host of this name/, false],
  ['ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR', 'x', {}, /ended TLS by itself/, false],
  ['ERR_SSL_WRONG_VERSION_NUMBER', 'wrong version number', {}, /does not speak TLS.*scheme/, false],
  [
    'ERR_TLS_CERT_ALTNAME_INVALID',
    "IP: 10.0.0.1 is not in the cert's list",
    {},
    /for other names.*advertise/,
    false,
  ],
  ['CERT_HAS_EXPIRED', 'certificate has expired', {}, /not valid at this time.*clock/, false],
  ['CERT_NOT_YET_VALID', 'certificate is not yet valid', {}, /not valid at this time.*clock/, false],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'self-signed certificate', {}, /set PULSAR_TLS_CA_FILE/, false],
  [
    'SELF_SIGNED_CERT_IN_CHAIN',
    'x',
    { ca: Buffer.from('x') },
    /not signed by a CA in PULSAR_TLS_CA_FILE/,
    false,
  ],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'x', {}, /set PULSAR_TLS_CA_FILE/, false],
  ['ENOTFOUND', 'getaddrinfo ENOTFOUND x', {}, /name cannot be resolved/, true],
  ['ECONNREFUSED', 'connect ECONNREFUSED', {}, /^Nothing listens there/, true],
  ['ECONNRESET', 'read ECONNRESET', {}, /asks for client certificates ends connections so.*scheme/, true],
  [
    'ECONNRESET',
    'Client network socket disconnected before secure TLS connection was established',
    {},
    /scheme/,
    true,
  ],
  [
    'ETIMEDOUT',
    'connect ETIMEDOUT',
    {},
    /^Check PULSAR_SERVICE_URL, and that the function is in a VPC/,
    true,
  ],
])('over TLS: %s, %s', (code, message, tls, hint, retryable) => {
  const error = socketError('pulsar+ssl://x:1', errorOf(code, message), { ...attempt, tls });
  expect(error).toMatchObject({ code: 'source', retryable, hint: expect.stringMatching(hint) });
});

it.each<[string, string, RegExp]>([
  ['HPE_INVALID_CONSTANT', 'Parse Error: Expected HTTP/', /does not speak HTTP.*scheme/],
  ['ECONNRESET', 'socket hang up', /VPC.*scheme/],
  ['', 'no answer within 6000 ms', /^Check PULSAR_SERVICE_URL/],
])('without TLS: %s, %s says nothing of certificates', (code, message, hint) => {
  const error = socketError('http://x:1', errorOf(code, message), { ...attempt, isTls: false });
  expect(error.hint).toMatch(hint);
  expect(error.hint).not.toMatch(/certificate|PULSAR_TLS/);
});
