// The loopback COS's second port: JSON over HTTP to order faults and to look inside, for a server in a process of its
// own. Not signed, and not for anybody but a test on the same machine.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { COS_ERROR_CODES } from '../../../src/local/cos/cos-error.ts';
import { FAULT_TYPES, type Fault } from '../../../src/local/cos/fault-plan.ts';
import type { LoopbackCos } from '../../../src/local/cos/server.ts';

/** The control port of a running server. */
export interface LoopbackControl {
  /** `http://127.0.0.1:port/_control`, followed by `/faults` and so on. */
  readonly url: string;
  close(): Promise<void>;
}

/** What `POST /settings` takes. */
interface ControlSettings {
  readonly tokenExpired?: boolean;
  /** `null`: never enabled. */
  readonly versioning?: 'Enabled' | 'Suspended' | null;
  readonly bucket?: string;
}

/**
 * Opens the control port. `POST /faults` (one or a list), `GET /faults` (those with strikes left), `DELETE /faults`,
 * `POST /settings`, `GET /objects`, `/uploads` (both with `?bucket=`), `/requests`, `/counts`.
 */
export async function startControl(cos: LoopbackCos, port = 0): Promise<LoopbackControl> {
  const server = createServer((request, response) => {
    handle(cos, request).then(
      (answer) =>
        sendJson(response, answer === undefined ? 404 : 200, answer ?? { error: 'no such control' }),
      (error: unknown) => sendJson(response, 400, { error: String(error) }),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/_control`,
    close() {
      const ended = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      return ended;
    },
  };
}

async function handle(cos: LoopbackCos, request: IncomingMessage): Promise<unknown> {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://control');
  const bucket = searchParams.get('bucket') ?? undefined;
  switch (`${request.method} ${pathname}`) {
    case 'POST /_control/faults':
      for (const fault of [await readJson(request)].flat().map(checkFault)) cos.addFault(fault);
      return {};
    case 'GET /_control/faults':
      return cos.pendingFaults();
    case 'DELETE /_control/faults':
      cos.clearFaults();
      return {};
    case 'POST /_control/settings':
      changeSettings(cos, (await readJson(request)) as ControlSettings);
      return {};
    case 'GET /_control/objects':
      return cos.objects(bucket);
    case 'GET /_control/uploads':
      return cos.uploads(bucket).map((upload) => ({ ...upload, parts: [...upload.parts.values()] }));
    case 'GET /_control/requests':
      return cos.requests();
    case 'GET /_control/counts':
      return {
        requests: cos.requests().length,
        replacedCount: cos.replacedCount,
        maxConcurrent: cos.maxConcurrent,
      };
    default:
      return undefined;
  }
}

function changeSettings(cos: LoopbackCos, { tokenExpired, versioning, bucket }: ControlSettings): void {
  if (tokenExpired !== undefined) cos.setTokenExpired(tokenExpired);
  if (versioning !== undefined) cos.setVersioning(versioning ?? undefined, bucket);
}

/** A fault that would never strike, because of a typing error, would make a test pass for nothing. */
function checkFault(fault: unknown): Fault {
  const { action } = (fault ?? {}) as Partial<Fault>;
  if (action === undefined || !FAULT_TYPES.includes(action.type)) {
    throw new Error(`a fault has an action whose type is one of ${FAULT_TYPES.join(', ')}`);
  }
  if (action.type === 'error' && !COS_ERROR_CODES.includes(action.code)) {
    throw new Error(`the code of an error is one of ${COS_ERROR_CODES.join(', ')}`);
  }
  return fault as Fault;
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString()) as unknown;
}

function sendJson(response: ServerResponse, status: number, content: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(
    JSON.stringify(content, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)),
  );
}
