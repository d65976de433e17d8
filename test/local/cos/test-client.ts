// A COS client of a few lines for the tests of the loopback COS. Signs on its own, by the documentation, and can be
// asked to do it wrong.
import { createHash, createHmac } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, type IncomingHttpHeaders, type RequestOptions, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import {
  type LoopbackCos,
  type LoopbackCosOptions,
  startLoopbackCos,
} from '../../../src/local/cos/server.ts';

export const BUCKET = 'archive-1250000000';
export const REGION = 'ap-guangzhou';
export const CREDENTIALS = { secretId: 'AKIDtest', secretKey: 'test-key' };
export const MIB = 1024 * 1024;

interface Answered {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly text: string;
  /** The error code in the XML. */
  readonly code: string | undefined;
}

export interface CallSettings {
  readonly headers?: Record<string, string>;
  readonly body?: Uint8Array | string;
  readonly query?: Record<string, string>;
  readonly host?: string;
  /** Seconds since the epoch. */
  readonly window?: readonly [number, number];
  readonly secretId?: string;
  readonly secretKey?: string;
  /** Header names to sign; `host` alone by default. */
  readonly signed?: readonly string[];
  readonly authorization?: string | null;
  /** Leave Content-Length out. */
  readonly chunked?: boolean;
  readonly signal?: AbortSignal;
}

export type Client = (method: string, key: string, settings?: CallSettings) => Promise<Answered>;

const encode = (text: string) =>
  encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

const joined = (entries: [string, string][]) => entries.map(([name, value]) => `${name}=${value}`).join('&');

const sortedPairs = (values: Record<string, string>): [string, string][] =>
  Object.entries(values)
    .map(([name, value]): [string, string] => [encode(name).toLowerCase(), encode(value)])
    .sort(([a], [b]) => (a < b ? -1 : 1));

export function clientOf(port: number): Client {
  const agent = new Agent({ keepAlive: true });
  onTestFinished(() => agent.destroy());
  return (method, key, settings = {}) => {
    const host = settings.host ?? `${BUCKET}.cos.${REGION}.myqcloud.com`;
    const headers: Record<string, string> = { ...settings.headers, host };
    const body = settings.body ?? '';
    if (settings.chunked) headers['transfer-encoding'] = 'chunked';
    else if (!('content-length' in headers)) headers['content-length'] = String(Buffer.byteLength(body));
    if (settings.authorization === undefined)
      headers['authorization'] = authorize(method, key, settings, headers);
    else if (settings.authorization !== null) headers['authorization'] = settings.authorization;
    const query = joined(
      Object.entries(settings.query ?? {}).map(([n, v]): [string, string] => [encode(n), encode(v)]),
    );
    const path = `/${key.split('/').map(encode).join('/')}${query === '' ? '' : `?${query}`}`;
    return send(
      { agent, port, method, path, headers, ...(settings.signal && { signal: settings.signal }) },
      body,
    );
  };
}

/** The Authorization header of a call. */
export function authorize(
  method: string,
  key: string,
  settings: CallSettings,
  headers: Record<string, string>,
): string {
  const now = Math.floor(Date.now() / 1000);
  const [start, end] = settings.window ?? [now - 60, now + 600];
  const time = `${start};${end}`;
  const names = settings.signed ?? ['host'];
  const params = sortedPairs(settings.query ?? {});
  const signedHeaders = sortedPairs(Object.fromEntries(names.map((name) => [name, headers[name] ?? ''])));
  const hmac = (secret: string, text: string) => createHmac('sha1', secret).update(text).digest('hex');
  const http = `${method.toLowerCase()}\n/${key}\n${joined(params)}\n${joined(signedHeaders)}\n`;
  const digest = createHash('sha1').update(http).digest('hex');
  const signature = hmac(
    hmac(settings.secretKey ?? CREDENTIALS.secretKey, time),
    `sha1\n${time}\n${digest}\n`,
  );
  return joined([
    ['q-sign-algorithm', 'sha1'],
    ['q-ak', settings.secretId ?? CREDENTIALS.secretId],
    ['q-sign-time', time],
    ['q-key-time', time],
    ['q-header-list', signedHeaders.map(([name]) => name).join(';')],
    ['q-url-param-list', params.map(([name]) => name).join(';')],
    ['q-signature', signature],
  ]);
}

function send(options: RequestOptions, body: Uint8Array | string): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ ...options, host: '127.0.0.1' }, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('error', reject);
      incoming.on('end', () => {
        const bytes = Buffer.concat(chunks);
        const text = bytes.toString();
        const code = /<Code>(.*?)<\/Code>/.exec(text)?.[1];
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: bytes, text, code });
      });
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

/** A server over an empty folder, both gone when the test ends. */
export async function startTestCos(
  options: Partial<LoopbackCosOptions> = {},
): Promise<{ cos: LoopbackCos; call: Client; dir: string }> {
  const dir = options.dir ?? mkdtempSync(join(tmpdir(), 'loopback-cos-'));
  const buckets = [{ name: BUCKET, region: REGION }];
  const cos = await startLoopbackCos({ buckets, credentials: CREDENTIALS, ...options, dir });
  onTestFinished(async () => {
    await cos.close();
    rmSync(dir, { recursive: true, force: true });
  });
  return { cos, call: clientOf(cos.port), dir };
}

/** The first text between the tags. */
export function textOf(xml: string, name: string): string | undefined {
  return new RegExp(`<${name}>(.*?)</${name}>`, 's').exec(xml)?.[1];
}

/** All texts between the tags. */
export function textsOf(xml: string, name: string): string[] {
  return [...xml.matchAll(new RegExp(`<${name}>([^<]*)</${name}>`, 'g'))].map((match) => match[1] as string);
}

/** Begins an upload, puts the parts, and gives back its id and the XML that completes it. */
export async function uploadParts(call: Client, key: string, bodies: readonly Uint8Array[]) {
  const init = await call('POST', key, { query: { uploads: '' } });
  const uploadId = textOf(init.text, 'UploadId') as string;
  const etags: string[] = [];
  for (const [i, body] of bodies.entries()) {
    const part = await call('PUT', key, { query: { partNumber: String(i + 1), uploadId }, body });
    etags.push(part.headers.etag as string);
  }
  return { uploadId, etags, xml: completeXml(etags) };
}

export function completeXml(etags: readonly string[], numbers = etags.map((_, i) => i + 1)): string {
  const parts = etags.map(
    (etag, i) => `<Part><PartNumber>${numbers[i]}</PartNumber><ETag>${etag}</ETag></Part>`,
  );
  return `<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`;
}
