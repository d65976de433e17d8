// A node:http server for odd answers: each test says what it replies. It is no COS and checks nothing.
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { CosConfig } from '../../src/config.ts';
import { Secret } from '../../src/lib/secret.ts';

/** A request as it arrived, its body read. */
interface Arrived {
  readonly method: string;
  /** Path and query, as sent. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The port of the connection's other end. */
  readonly port: number | undefined;
}

/** Answers one request. `raw` is there for those who answer before the body came, or not at all. */
export type Answering = (
  request: Arrived,
  response: ServerResponse,
  raw: IncomingMessage,
) => void | Promise<void>;

export interface AnsweringServer {
  readonly endpoint: string;
  readonly arrived: Arrived[];
  /** Connections that are open now. */
  connections(): Promise<number>;
  answer: Answering;
  /** For `GET ?versioning`; by default, the bucket never had it. */
  answerVersioning: Answering;
  /** Whether request bodies are left unread. */
  paused: boolean;
  close(): Promise<void>;
}

/** Listens on a free port of 127.0.0.1. */
export async function startAnsweringServer(answer: Answering = ok): Promise<AnsweringServer> {
  const arrived: Arrived[] = [];
  const server = createServer(async (raw, response) => {
    if (self.paused && raw.method === 'PUT') return;
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of raw) chunks.push(chunk as Buffer);
    } catch {
      return;
    }
    const request: Arrived = {
      method: raw.method ?? '',
      url: raw.url ?? '',
      headers: raw.headers,
      body: Buffer.concat(chunks),
      port: raw.socket.remotePort,
    };
    arrived.push(request);
    if (request.method === 'GET' && request.url.includes('?versioning')) {
      await self.answerVersioning(request, response, raw);
    } else await self.answer(request, response, raw);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const self: AnsweringServer = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    arrived,
    answer,
    answerVersioning: (_request, response) => {
      response.end('<VersioningConfiguration/>');
    },
    paused: false,
    connections: () =>
      new Promise((resolve, reject) =>
        server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
      ),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return self;
}

/** Answers as COS does to what it stored; `crc64` is what it says about it. */
export const stored =
  (crc64?: string): Answering =>
  (_request, response) => {
    response.setHeader('ETag', '"e"');
    if (crc64 !== undefined) response.setHeader('x-cos-hash-crc64ecma', crc64);
    response.end();
  };

const ok: Answering = (_request, response) => {
  response.end();
};

/** Answers with an error as COS writes it. */
export const refused =
  (status: number, code: string, message = code, headers: Record<string, string> = {}): Answering =>
  (request, response) => {
    response.writeHead(status, { 'x-cos-request-id': 'REQ-1', ...headers });
    response.end(request.method === 'HEAD' ? undefined : errorXml(code, message));
  };

export const errorXml = (code: string, message: string): string =>
  `<?xml version='1.0' encoding='utf-8' ?>\n<Error>\n\t<Code>${code}</Code>\n\t<Message>${message}</Message>\n\t<RequestId>REQ-1</RequestId>\n</Error>`;

/** Settings that lead to `endpoint`. */
export const cosConfig = (endpoint: string | undefined, more: Partial<CosConfig> = {}): CosConfig => ({
  bucket: 'backup-1250000000',
  region: 'ap-guangzhou',
  prefix: '',
  storageClass: 'STANDARD',
  sse: undefined,
  endpoint,
  credentials: {
    secretId: 'AKIDexample',
    secretKey: new Secret('very-secret-key'),
    sessionToken: new Secret('session-token-1'),
  },
  ...more,
});
