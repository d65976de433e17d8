// A loopback COS: a stand-in for Tencent Cloud Object Storage on 127.0.0.1, for the demo and for tests, written from
// the public API documentation. It is not COS, nor all of it: no TLS, no access policies, no versions, no encryption
// (its headers are only repeated), no lifecycle, nothing durable against a power cut. Calls it lacks get 501.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Bucket, VersioningStatus } from './bucket.ts';
import { exchange, type RequestHook, type RequestRecord, type ServerState } from './exchange.ts';
import { createFaultPlan, type Fault } from './fault-plan.ts';
import { ObjectFolder, type StoredObject } from './object-folder.ts';
import type { LoopbackCredentials } from './signature.ts';
import { type StoredUpload, UploadFolder } from './upload-folder.ts';

/** A bucket that the server has from its start. */
export interface LoopbackBucket {
  /** `name-appid` */
  readonly name: string;
  readonly region: string;
  readonly versioning?: VersioningStatus;
}

export interface LoopbackCosOptions {
  /** The folder of the objects as files, `{dir}/{bucket}/{key}`. What is there already is served. */
  readonly dir: string;
  readonly buckets: readonly LoopbackBucket[];
  readonly credentials: LoopbackCredentials;
  /** Default 0: any free one. */
  readonly port?: number;
  /** Milliseconds since the epoch; rules the signature's window, the Date header, and the times of objects. */
  readonly clock?: () => number;
  /** Bodies are summed and counted, but not written: for benchmarks. A GET fails then. */
  readonly discardBodies?: boolean;
  /** `false`: Content-MD5 is not looked at, and ETags are made of the CRC-64: for benchmarks. Default true. */
  readonly verifyMd5?: boolean;
  readonly onRequest?: RequestHook;
}

/** An object as a test looks at it. */
export interface InspectedObject extends StoredObject {
  /** Read from the file at each look. */
  readonly bytes: Buffer;
  /** x-cos-meta-* without the prefix. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** A running server. The bucket, where it is not given, is the first. */
export interface LoopbackCos {
  readonly port: number;
  /** `http://127.0.0.1:port`; the Host header still has to name the bucket. */
  readonly url: string;
  addFault(fault: Fault): void;
  clearFaults(): void;
  pendingFaults(): readonly Fault[];
  setTokenExpired(isExpired: boolean): void;
  setVersioning(status: VersioningStatus | undefined, bucket?: string): void;
  setOnRequest(hook: RequestHook | undefined): void;
  /** In key order. */
  objects(bucket?: string): StoredObject[];
  object(key: string, bucket?: string): InspectedObject | undefined;
  uploads(bucket?: string): StoredUpload[];
  /** All requests so far, in the order in which they came. */
  requests(): readonly RequestRecord[];
  /** Objects that were replaced by another of the same key, in all buckets. */
  readonly replacedCount: number;
  /** The most requests that were open at one time. */
  readonly maxConcurrent: number;
  /** Ends every connection, hanging ones too. May be repeated. */
  close(): Promise<void>;
}

/** Starts the server on 127.0.0.1. Resolves when it listens. */
export async function startLoopbackCos(options: LoopbackCosOptions): Promise<LoopbackCos> {
  const buckets = new Map(options.buckets.map((bucket) => [bucket.name, openBucket(options.dir, bucket)]));
  const bucketOf = (name = options.buckets[0]?.name ?? '') => {
    const bucket = buckets.get(name);
    if (bucket === undefined) throw new Error(`the loopback COS has no bucket ${name}`);
    return bucket;
  };
  let announceClosing = () => {};
  const closing = new Promise<void>((resolve) => {
    announceClosing = resolve;
  });
  const state: ServerState = {
    buckets,
    credentials: options.credentials,
    clock: options.clock ?? Date.now,
    faults: createFaultPlan(),
    requests: [],
    callCounts: new Map(),
    discardBodies: options.discardBodies ?? false,
    takeMd5: options.verifyMd5 ?? true,
    closing,
    isTokenExpired: false,
    onRequest: options.onRequest,
  };

  const active = new Set<Promise<void>>();
  let openCount = 0;
  let maxConcurrent = 0;
  const server = createServer({ keepAliveTimeout: 60_000, requestTimeout: 0 }, (request, response) => {
    openCount++;
    maxConcurrent = Math.max(maxConcurrent, openCount);
    response.once('close', () => openCount--);
    const served = exchange(state, request, response).finally(() => active.delete(served));
    active.add(served);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;

  let closed: Promise<void> | undefined;
  const close = async () => {
    const ended = new Promise<void>((resolve) => server.close(() => resolve()));
    announceClosing();
    server.closeAllConnections();
    await ended;
    await Promise.allSettled(active);
  };
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    addFault: state.faults.add,
    clearFaults: state.faults.clear,
    pendingFaults: state.faults.pending,
    setTokenExpired(isExpired) {
      state.isTokenExpired = isExpired;
    },
    setVersioning(status, bucket) {
      bucketOf(bucket).versioning = status;
    },
    setOnRequest(hook) {
      state.onRequest = hook;
    },
    objects(name) {
      const { objects } = bucketOf(name);
      return objects.keys().flatMap((key) => objects.get(key) ?? []);
    },
    object(key, name) {
      const object = bucketOf(name).objects.get(key);
      return object === undefined ? undefined : inspect(object);
    },
    uploads: (name) => bucketOf(name).uploads.all(),
    requests: () => state.requests,
    get replacedCount() {
      return [...buckets.values()].reduce((sum, bucket) => sum + bucket.replacedCount, 0);
    },
    get maxConcurrent() {
      return maxConcurrent;
    },
    close() {
      closed ??= close();
      return closed;
    },
  };
}

function openBucket(dir: string, { name, region, versioning }: LoopbackBucket): Bucket {
  return {
    ...{ name, region, versioning, lifecycleXml: undefined, restored: new Map(), replacedCount: 0 },
    restored: new Map(),
    objects: new ObjectFolder(dir, name),
    uploads: new UploadFolder(dir, name),
  };
}

function inspect(object: StoredObject): InspectedObject {
  const metadata = Object.entries(object.headers)
    .filter(([name]) => name.startsWith('x-cos-meta-'))
    .map(([name, value]) => [name.slice('x-cos-meta-'.length), value]);
  const bytes = object.file === undefined ? Buffer.alloc(0) : readFileSync(object.file);
  return { ...object, bytes, metadata: Object.fromEntries(metadata) as Record<string, string> };
}
