// Handles one request: authentication, authorisation, execution, response. Injects faults between these steps. Holds
// no state.
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type Refusal, refusalAnswer, sendAnswer } from './answering.ts';
import { restoreObject } from './archive-class.ts';
import type { Answer, Bucket } from './bucket.ts';
import * as ofBucket from './bucket-calls.ts';
import { type Call, type CallKind, parseCall } from './call.ts';
import { CosError } from './cos-error.ts';
import { alterAnswer, NoAnswer, OrderedAnswer, paceOf, type Struck, strike } from './fault-effects.ts';
import type { FaultAction, FaultPlan } from './fault-plan.ts';
import * as ofUpload from './multipart-calls.ts';
import * as ofObject from './object-calls.ts';
import { type ReceivedBody, receiveBody, receiveText } from './received-body.ts';
import { type LoopbackCredentials, verifySignature } from './signature.ts';

/** A line of the request log. */
export interface RequestRecord {
  readonly kind: CallKind;
  readonly bucket: string;
  readonly key: string;
  readonly uploadId: string | undefined;
  readonly partNumber: number | undefined;
  readonly requestId: string;
  /** The HTTP status that was answered; or `open` as long as there is none, or how it ended without one. */
  status: number | 'open' | 'reset' | 'hung' | 'client gone';
  /** COS's error code, where there was one. */
  errorCode?: string;
}

/** Sees every call before it is served; the call waits for the promise. `n` counts the calls of this kind from 1. */
export type RequestHook = (kind: CallKind, key: string, n: number) => Promise<void> | void;

/** What all requests of a server share. */
export interface ServerState {
  readonly buckets: ReadonlyMap<string, Bucket>;
  readonly credentials: LoopbackCredentials;
  readonly clock: () => number;
  readonly faults: FaultPlan;
  readonly requests: RequestRecord[];
  readonly callCounts: Map<CallKind, number>;
  readonly discardBodies: boolean;
  readonly takeMd5: boolean;
  /** Resolves when the server closes: nobody waits for a hook then. */
  readonly closing: Promise<void>;
  isTokenExpired: boolean;
  onRequest: RequestHook | undefined;
}

/** Serves one request. Never rejects. */
export async function exchange(
  state: ServerState,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  // A response has no socket of its own yet where the one before it on the connection has not quite ended.
  const { socket } = request;
  const call = parseCall(request.method ?? 'GET', request.url ?? '/', request.headers);
  const record = openRecord(call, state);
  response.sendDate = false;
  response.setHeader('Server', 'loopback-cos');
  response.setHeader('x-cos-request-id', record.requestId);
  const struck = { resource: resourceOf(call), requestId: record.requestId };
  let action: FaultAction | undefined;
  try {
    const n = (state.callCounts.get(call.kind) ?? 0) + 1;
    state.callCounts.set(call.kind, n);
    if (state.onRequest !== undefined)
      await Promise.race([state.onRequest(call.kind, call.key, n), state.closing]);
    response.setHeader('Date', new Date(state.clock()).toUTCString());
    action = state.faults.take(call.kind, call.key);
    const answer = alterAnswer(await serve(state, call, request, action, struck), action);
    strike(action, 'after-commit', struck);
    record.status = answer.status;
    await sendAnswer(response, answer, paceOf(action, answer));
  } catch (error) {
    await answerFailure(error, { call, record, response, socket, action });
  }
}

function openRecord(call: Call, state: ServerState): RequestRecord {
  const part = call.query.get('partNumber');
  const record: RequestRecord = {
    ...{ kind: call.kind, bucket: call.bucket, key: call.key },
    uploadId: call.query.get('uploadId'),
    partNumber: part === undefined ? undefined : Number(part),
    requestId: Buffer.from(`${state.requests.length}-${randomBytes(8).toString('hex')}`).toString(
      'base64url',
    ),
    status: 'open',
  };
  state.requests.push(record);
  return record;
}

async function serve(
  state: ServerState,
  call: Call,
  request: IncomingMessage,
  action: FaultAction | undefined,
  struck: Struck,
): Promise<Answer> {
  const { credentials, isTokenExpired, clock } = state;
  verifySignature(call, { credentials, isTokenExpired, nowMs: clock() });
  const bucket = state.buckets.get(call.bucket);
  if (bucket === undefined || bucket.region !== call.region) {
    throw new CosError('NoSuchBucket', 'The specified bucket does not exist.');
  }
  if (call.kind === 'put' || call.kind === 'part') {
    const body = await receiveBody(request, {
      file: state.discardBodies ? undefined : bucket.objects.temporaryFile(),
      takeMd5: state.takeMd5,
      atHalf: action?.type === 'reset' && action.when === 'mid-body' ? breakOff : undefined,
    });
    try {
      strike(action, 'before-commit', struck);
      return commitBody(call, bucket, body, clock());
    } catch (error) {
      if (body.file !== undefined) rmSync(body.file, { force: true });
      throw error;
    }
  }
  const text = await receiveText(request);
  strike(action, 'before-commit', struck);
  if (call.kind === 'copy') return ofObject.copyObject(call, bucket, state.buckets, clock());
  return perform(call, bucket, text, clock());
}

function commitBody(call: Call, bucket: Bucket, body: ReceivedBody, nowMs: number): Answer {
  return call.kind === 'put'
    ? ofObject.putObject(call, bucket, body, nowMs)
    : ofUpload.putPart(call, bucket, body, nowMs);
}

function perform(call: Call, bucket: Bucket, text: string, nowMs: number): Answer | Promise<Answer> {
  switch (call.kind) {
    case 'get':
      return ofObject.getObject(call, bucket, nowMs);
    case 'head':
      return ofObject.headObject(call, bucket, nowMs);
    case 'delete':
      return ofObject.deleteObject(call, bucket);
    case 'restore':
      return restoreObject(call, bucket, text, nowMs);
    case 'init':
      return ofUpload.initUpload(call, bucket, nowMs);
    case 'complete':
      return ofUpload.completeUpload(call, bucket, text, nowMs);
    case 'abort':
      return ofUpload.abortUpload(call, bucket);
    case 'listParts':
      return ofUpload.listParts(call, bucket);
    case 'list':
      return ofBucket.listObjects(call, bucket);
    case 'listUploads':
      return ofBucket.listUploads(call, bucket);
    case 'headBucket':
      return { status: 200, headers: { 'x-cos-bucket-region': bucket.region } };
    case 'versioning':
      return ofBucket.getVersioning(bucket);
    case 'putVersioning':
      return ofBucket.putVersioning(bucket, text);
    case 'lifecycle':
      return ofBucket.getLifecycle(bucket);
    case 'putLifecycle':
      return ofBucket.putLifecycle(bucket, text);
    default:
      throw new CosError('NotImplemented', 'The loopback COS does not have this call');
  }
}

interface FailedCall {
  readonly call: Call;
  readonly record: RequestRecord;
  readonly response: ServerResponse;
  readonly socket: Socket;
  readonly action: FaultAction | undefined;
}

async function answerFailure(
  error: unknown,
  { call, record, response, socket, action }: FailedCall,
): Promise<void> {
  if (error instanceof NoAnswer) {
    record.status = error.how;
    if (error.how === 'reset') socket.resetAndDestroy();
    return;
  }
  if (socket.destroyed) {
    record.status = 'client gone';
    return;
  }
  if (error instanceof OrderedAnswer) {
    record.status = error.answer.status;
    await sendAnswer(response, error.answer, error.pace);
    return;
  }
  const refusal: Refusal =
    error instanceof CosError ? error : { status: 500, code: 'InternalError', message: String(error) };
  record.status = refusal.status;
  record.errorCode = refusal.code;
  await sendAnswer(response, refusalAnswer(refusal, resourceOf(call), record.requestId), paceOf(action));
}

function breakOff(): never {
  throw new NoAnswer('reset');
}

const resourceOf = (call: Call) => `${call.headers.host ?? ''}/${call.key}`;
