// A loopback Tencent Cloud API for tests: signatures, parameters, state, errors in the API's form, faults on demand.
// It is not an emulator: no function runs, no message flows, no quota is counted; it answers what is documented, from
// the public API pages, for the actions that rules use. It shares no code with src/rules.
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Action, type Call, checkParameters } from './action.ts';
import { ApiError } from './api-error.ts';
import { camActions } from './cam.ts';
import { clsActions } from './cls.ts';
import { createFaultList, type Fault } from './faults.ts';
import { scfActions } from './scf/actions.ts';
import { type Account, verifySignature } from './signature.ts';
import { type CloudState, emptyState } from './state.ts';
import { tagActions } from './tag.ts';
import { tdmqActions } from './tdmq.ts';
import { vpcActions } from './vpc.ts';

const SERVICES: Record<string, { version: string; actions: Readonly<Record<string, Action>> }> = {
  scf: { version: '2018-04-16', actions: scfActions },
  tdmq: { version: '2020-02-17', actions: tdmqActions },
  tag: { version: '2018-08-13', actions: tagActions },
  cam: { version: '2019-01-16', actions: camActions },
  cls: { version: '2020-10-16', actions: clsActions },
  vpc: { version: '2017-03-12', actions: vpcActions },
};

const MAX_REQUEST_BYTES = 10 * 1024 * 1024;

export interface CloudApi {
  /** `http://127.0.0.1:port` */
  readonly endpoint: string;
  readonly account: Account;
  readonly state: CloudState;
  /** Every call with a good signature, in order, also those that failed. */
  readonly calls: Call[];
  /** Called before each action is done: tests press Ctrl-C here. */
  onCall: (call: Call) => void;
  fail(fault: Fault): void;
  close(): Promise<void>;
}

/** Starts the API on a free port of 127.0.0.1. */
export async function startCloudApi(given: Partial<Account> = {}): Promise<CloudApi> {
  const account: Account = {
    secretId: 'AKIDloopback000000000000000000000000',
    secretKey: 'loopback-secret-key',
    appId: '1250000000',
    uin: '100000000001',
    ...given,
  };
  const state = emptyState();
  const calls: Call[] = [];
  const faults = createFaultList();

  const server = createServer((request, response) => {
    serve(request, response).catch((error: unknown) => {
      answer(response, { Error: { Code: 'InternalError', Message: String(error) } });
    });
  });

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const url = new URL(request.url ?? '/', 'http://127.0.0.1');
    if (request.method === 'GET' && url.pathname.startsWith(METADATA_PATH)) {
      serveMetadata(url.pathname, account, response);
      return;
    }
    try {
      const call = parseCall(request, url, body, account);
      calls.push(call);
      api.onCall(call);
      const fault = faults.next(call);
      if (fault?.hang === 'before') return;
      if (fault?.cut === 'before') {
        request.socket.destroy();
        return;
      }
      if (fault?.httpStatus !== undefined) {
        response
          .writeHead(fault.httpStatus, { 'content-type': 'text/html' })
          .end('<html>As the test asked</html>');
        return;
      }
      if (fault?.code !== undefined) throw new ApiError(fault.code, fault.message ?? 'As the test asked.');
      const done = await perform(call, state, account);
      if (fault?.hang === 'after') return;
      if (fault?.cut === 'after') request.socket.destroy();
      else answer(response, done);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      answer(response, { Error: { Code: error.code, Message: error.message } });
    }
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const api: CloudApi = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    account,
    state,
    calls,
    onCall: () => {},
    fail: (fault) => faults.add(fault),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return api;
}

function parseCall(request: IncomingMessage, url: URL, body: Buffer, account: Account): Call {
  if (body.byteLength > MAX_REQUEST_BYTES) {
    throw new ApiError('RequestSizeLimitExceeded', 'The request is larger than 10 MB.');
  }
  const service = verifySignature(
    {
      method: request.method ?? '',
      path: url.pathname,
      query: url.search.slice(1),
      headers: request.headers,
      body,
    },
    account,
    Date.now(),
  );
  const header = (name: string) => String(request.headers[name] ?? '');
  if (header('host').split('.')[0] !== service) {
    throw new ApiError('AuthFailure.SignatureFailure', 'The host is not that of the signed service.');
  }
  const known = SERVICES[service];
  if (known === undefined) throw new ApiError('UnsupportedProtocol', `No service ${service} here.`);
  if (header('x-tc-version') !== known.version) throw new ApiError('NoSuchVersion', 'No such version.');
  const action = header('x-tc-action');
  if (!(action in known.actions)) throw new ApiError('InvalidAction', `No action ${action} here.`);
  return {
    service,
    host: header('host'),
    action,
    region: header('x-tc-region'),
    request: JSON.parse(body.toString('utf8') || '{}'),
  };
}

async function perform(call: Call, state: CloudState, account: Account): Promise<Record<string, unknown>> {
  const action = SERVICES[call.service]?.actions[call.action] as Action;
  checkParameters(action, call.request);
  return action.answer({ ...call, state, account, nowMs: state.now() });
}

function answer(response: ServerResponse, body: Record<string, unknown>): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ Response: { ...body, RequestId: randomUUID() } }));
}

const METADATA_PATH = '/latest/meta-data/cam/security-credentials/';

/** What a CVM reads of its role, at metadata.tencentyun.com. */
function serveMetadata(path: string, account: Account, response: ServerResponse): void {
  const role = path.slice(METADATA_PATH.length);
  response.writeHead(200, { 'content-type': 'text/plain' });
  response.end(
    role === ''
      ? 'cvm-role'
      : JSON.stringify({
          TmpSecretId: account.secretId,
          TmpSecretKey: account.secretKey,
          Token: account.token ?? '',
          ExpiredTime: Math.floor(Date.now() / 1000) + 3600,
          Code: 'Success',
        }),
  );
}
