// The ObjectStore port over COS. Creates and reads objects; never replaces one, and reports an object as created only
// after it compared the checksum.
import type { CosConfig } from '../config.ts';
import { BackupError } from '../errors.ts';
import { DAMAGED_HINT } from '../format/stored-object.ts';
import type {
  Body,
  CallOptions,
  Created,
  Exists,
  ObjectAttributes,
  ObjectHead,
  ObjectStore,
  Upload,
} from '../ports.ts';
import { type CosAdmin, createCosAdmin } from './admin.ts';
import { type CosClientOptions, createCosClient } from './client.ts';
import { ODD_ANSWER, reportsReason, type StoreCall } from './failure.ts';
import { listFolder, listObjects, listUploads } from './list-pages.ts';
import { forbidOverwrite, metadataOf, objectHeaders, storageOf } from './object-headers.ts';
import { createOverwriteGuard } from './overwrite-guard.ts';
import { readObject } from './read.ts';
import { contentMd5, streamOf } from './request-body.ts';

/** An object of any bucket. */
export interface CosObject {
  readonly bucket: string;
  readonly region: string;
  readonly key: string;
}

/** The objects of one bucket, and what `check`, `restore` and `copy` need besides. */
export interface CosStore extends ObjectStore {
  readonly admin: CosAdmin;
  /**
   * As `startUpload`, for replaceable objects: readers get either the old or the new one. Never for the archive
   * itself.
   */
  startReplacement(key: string, attributes: ObjectAttributes, options?: CallOptions): Promise<Upload>;
  /**
   * Asks COS to copy an object of at most 5 GB, with its metadata and type, into the class of this store. Compare the
   * result: COS may respond before it is complete. @throws BackupError `store`
   */
  copyFrom(
    from: CosObject,
    key: string,
    isReadByRuns: boolean,
    options?: CallOptions,
  ): Promise<Exists | undefined>;
}

/** The common part of the SDK's results. */
type Answer = { statusCode?: number; headers?: Readonly<Record<string, unknown>>; ETag?: string };

/** The store of `config.bucket`. Opens nothing before the first call; call `close` at the end. */
export function createCosStore(config: CosConfig, options: CosClientOptions): CosStore {
  const client = createCosClient(config, options);
  const { bucket, region } = client.location;
  const at = (key: string) => ({ Bucket: bucket, Region: region, Key: key });
  const guard = createOverwriteGuard(client, options.logger, head);

  async function head(key: string, callOptions: CallOptions = {}): Promise<ObjectHead | undefined> {
    const act: StoreCall = { doing: 'look at the object', action: 'HeadObject', key };
    const answer = await unlessStatus(
      404,
      client.call(act, (cos) => cos.headObject({ ...at(key), Headers: {} }), callOptions),
    ).catch((error) => throwWithReason(error, key, callOptions));
    if (answer === undefined) {
      return client.isBucketSeen() || (await isMissing(key, callOptions))
        ? undefined
        : head(key, callOptions);
    }
    const headers = headersOf(answer);
    return {
      key,
      sizeBytes: Number(headers['content-length']),
      crc64: crc64Of(answer),
      metadata: metadataOf(headers),
      lastModified: new Date(String(headers['last-modified'])),
      ...storageOf(headers),
    };
  }

  /**
   * A response to HEAD has no body, so a missing bucket looks like a missing key: until the bucket is known to exist,
   * a GET of one byte distinguishes them. False if the object was created in the meantime. @throws BackupError
   * `store` if there is no bucket
   */
  async function isMissing(key: string, callOptions: CallOptions): Promise<boolean> {
    try {
      await readByte(key, callOptions);
      return false;
    } catch (error) {
      // Without permission to read, the next call shows it.
      if (isWith(error, 'code', 'NoSuchKey') || isWith(error, 'status', 403)) return true;
      if (isWith(error, 'status', 416)) return false;
      throw error;
    }
  }

  /** @throws BackupError `store`: why a HEAD was refused, where a GET of one byte is refused too and reports the reason */
  async function throwWithReason(error: unknown, key: string, callOptions: CallOptions): Promise<never> {
    if (!isWith(error, 'status', 403) || (error as BackupError).retryable) throw error;
    const refusal = await readByte(key, callOptions).catch((thrown: unknown) => thrown);
    throw isWith(refusal, 'status', 403) && reportsReason(refusal) ? refusal : error;
  }

  function readByte(key: string, callOptions: CallOptions): Promise<unknown> {
    const act: StoreCall = { doing: 'look at the object', action: 'GetObject', key };
    return client.call(act, (cos) => cos.getObject({ ...at(key), Range: 'bytes=0-0' }), callOptions);
  }

  async function create(
    key: string,
    body: Body,
    crc64: string,
    attributes: ObjectAttributes,
    callOptions: CallOptions = {},
  ): Promise<Created | Exists> {
    if (await guard.exists(key, callOptions)) return { kind: 'exists' };
    const headers = { ...objectHeaders(config, attributes), ...forbidOverwrite() };
    const act = { doing: 'store the object', action: 'PutObject', key, commits: true };
    // SkipTask passes by the SDK's upload queue; its types do not know it.
    const sent = { ...at(key), ...streamOf(body), Headers: headers, ...{ SkipTask: true } };
    const answer = await unlessExists(client.call(act, (cos) => cos.putObject(sent), callOptions));
    if (answer === undefined) return { kind: 'exists' };
    if (!answer.ETag) throw withoutEtag(act);
    return checkedCreation(answer, act, { crc64, sizeBytes: body.sizeBytes }, callOptions);
  }

  /** Compares COS's checksum of the stored bytes with ours; requests it if the response has none. */
  async function checkedCreation(
    answer: Answer,
    act: StoreCall & { key: string },
    whole: { crc64: string; sizeBytes: number },
    callOptions: CallOptions,
  ): Promise<Created> {
    let stored = crc64Of(answer);
    if (stored === undefined) {
      const found = await head(act.key, callOptions).catch((error) => {
        throw unresolved(error, act);
      });
      if (found !== undefined && found.sizeBytes !== whole.sizeBytes) {
        throw damaged(act, `${found.sizeBytes} bytes instead of ${whole.sizeBytes}`);
      }
      stored = found?.crc64;
    }
    if (stored === undefined) throw withoutChecksum(act);
    if (stored !== whole.crc64) throw damaged(act, `CRC-64 ${stored} instead of ${whole.crc64}`);
    return { kind: 'created', crc64: stored };
  }

  async function copyFrom(
    from: CosObject,
    key: string,
    isReadByRuns: boolean,
    callOptions: CallOptions = {},
  ): Promise<Exists | undefined> {
    if (await guard.exists(key, callOptions)) return { kind: 'exists' };
    const { 'Content-Type': _, ...own } = objectHeaders(config, {
      metadata: {},
      contentType: '',
      isReadByRuns,
    });
    const headers = { ...own, ...forbidOverwrite(), 'x-cos-metadata-directive': 'Copy' };
    const path = from.key.split('/').map(encodeURIComponent).join('/');
    const CopySource = `${from.bucket}.cos.${from.region}.myqcloud.com/${path}`;
    const act: StoreCall = { doing: `copy ${from.key} to`, action: 'PutObject', key, commits: true };
    const answer = await unlessExists(
      client.call(act, (cos) => cos.putObjectCopy({ ...at(key), CopySource, Headers: headers }), callOptions),
    );
    return answer === undefined ? { kind: 'exists' } : undefined;
  }

  async function startUpload(
    key: string,
    attributes: ObjectAttributes,
    callOptions: CallOptions = {},
  ): Promise<Upload | Exists> {
    if (await guard.exists(key, callOptions)) return { kind: 'exists' };
    const upload = await unlessExists(beginUpload(key, attributes, forbidOverwrite, callOptions));
    return upload ?? { kind: 'exists' };
  }

  async function beginUpload(
    key: string,
    attributes: ObjectAttributes,
    conditions: () => Record<string, string>,
    callOptions: CallOptions = {},
  ): Promise<Upload> {
    const headers = { ...objectHeaders(config, attributes), ...conditions() };
    const act: StoreCall = { doing: 'begin the upload of', action: 'InitiateMultipartUpload', key };
    const answer = await client.call(
      act,
      (cos) => cos.multipartInit({ ...at(key), Headers: headers }),
      callOptions,
    );
    if (!answer.UploadId) {
      throw new BackupError('store', `COS gave no upload id for ${key}`, {
        retryable: true,
        hint: ODD_ANSWER,
      });
    }
    return uploadOf(key, answer.UploadId, conditions);
  }

  function uploadOf(key: string, uploadId: string, conditions: () => Record<string, string>): Upload {
    const etags = new Map<number, string>();
    return {
      kind: 'upload',
      async part(number, body, crc64, callOptions = {}) {
        const act: StoreCall = { doing: `store part ${number} of`, action: 'UploadPart', key };
        const params = { ...at(key), UploadId: uploadId, PartNumber: number };
        const send = (headers: Record<string, string>) => {
          const sent = { ...params, ...streamOf(body), Headers: headers };
          return client.call(act, (cos) => cos.multipartUpload(sent), callOptions);
        };
        let answer = await send({});
        // If something hides COS's own checksum, COS compares ours.
        if (crc64Of(answer) === undefined) answer = await send(contentMd5(body));
        if (!answer.ETag) throw withoutEtag(act);
        const stored = crc64Of(answer);
        if (stored !== undefined && stored !== crc64) throw spoiltPart(act, stored, crc64);
        etags.set(number, answer.ETag);
      },
      async complete(whole, callOptions = {}) {
        const isNew = conditions === forbidOverwrite;
        if (isNew && (await guard.exists(key, callOptions))) return { kind: 'exists' };
        const act = {
          doing: 'complete the upload of',
          action: 'CompleteMultipartUpload',
          key,
          commits: true,
        };
        const parts = [...etags].sort(([a], [b]) => a - b);
        const answer = await unlessExists(
          client.call(
            act,
            (cos) =>
              cos.multipartComplete({
                ...at(key),
                UploadId: uploadId,
                Parts: parts.map(([number, etag]) => ({ PartNumber: number, ETag: etag })),
                Headers: conditions(),
              }),
            callOptions,
          ),
        );
        if (answer === undefined) return { kind: 'exists' };
        if (!answer.ETag) throw withoutEtag(act);
        return checkedCreation(answer, act, whole, callOptions);
      },
      abort: (callOptions) => abortUpload(key, uploadId, callOptions),
    };
  }

  async function abortUpload(key: string, uploadId: string, callOptions: CallOptions = {}): Promise<void> {
    const act: StoreCall = { doing: 'abort the upload of', action: 'AbortMultipartUpload', key };
    await unlessCode(
      'NoSuchUpload',
      client.call(act, (cos) => cos.multipartAbort({ ...at(key), UploadId: uploadId }), callOptions),
    );
  }

  return {
    create,
    expectCreations: () => guard.expectCreations(),
    startUpload,
    startReplacement: (key, attributes, callOptions) => beginUpload(key, attributes, () => ({}), callOptions),
    head,
    read: (key, callOptions) => readObject(client, key, callOptions),
    list: (prefix, callOptions) => listObjects(client, prefix, callOptions),
    listFolder: (prefix, callOptions) => listFolder(client, prefix, callOptions),
    listUploads: (prefix, callOptions) => listUploads(client, prefix, callOptions),
    abortUpload,
    async close() {
      client.close();
    },
    admin: createCosAdmin(client, config),
    copyFrom,
  };
}

const headersOf = (answer: Answer): Readonly<Record<string, unknown>> => answer.headers ?? {};

function crc64Of(answer: Answer): string | undefined {
  const value = headersOf(answer)['x-cos-hash-crc64ecma'];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

const isWith = (error: unknown, name: string, value: string | number): boolean =>
  error instanceof BackupError && error.details[name] === value;

async function unless<T>(name: string, value: string | number, answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (isWith(error, name, value)) return undefined;
    throw error;
  }
}

const unlessStatus = <T>(status: number, answer: Promise<T>) => unless('status', status, answer);
const unlessCode = <T>(code: string, answer: Promise<T>) => unless('code', code, answer);
const unlessExists = <T>(answer: Promise<T>) => unlessCode('FileAlreadyExists', answer);

const withoutEtag = (act: StoreCall): BackupError =>
  new BackupError('store', `cannot ${act.doing} ${act.key}: the answer has no ETag`, {
    retryable: true,
    outcomeUnknown: act.commits === true,
    hint: ODD_ANSWER,
  });

const withoutChecksum = (act: StoreCall): BackupError =>
  new BackupError('store', `cannot ${act.doing} ${act.key}: COS reports no CRC-64 of it`, {
    retryable: true,
    outcomeUnknown: true,
    hint: ODD_ANSWER,
  });

/** Nothing of it is visible: a retry replaces it. */
const spoiltPart = (act: StoreCall, stored: string, meant: string): BackupError =>
  new BackupError(
    'store',
    `cannot ${act.doing} ${act.key}: COS has CRC-64 ${stored} of it instead of ${meant}`,
    {
      retryable: true,
      hint: 'It was damaged on its way. Something between here and COS changes what is sent.',
    },
  );

/** The object exists, but could not be verified. */
const unresolved = (error: unknown, act: StoreCall): BackupError =>
  new BackupError('store', `cannot ${act.doing} ${act.key}: its checksum could not be asked for`, {
    retryable: error instanceof BackupError && error.retryable,
    outcomeUnknown: true,
    cause: error,
    ...(error instanceof BackupError && error.hint !== undefined ? { hint: error.hint } : {}),
    ...(error instanceof BackupError ? { details: error.details } : {}),
  });

const damaged = ({ key, action }: StoreCall & { key: string }, what: string): BackupError =>
  new BackupError('corrupt', `COS stored ${key} damaged: it has ${what}`, {
    hint: action === 'PutObject' ? DAMAGED_HINT : DAMAGED_UPLOAD_HINT,
    details: { key },
  });

const DAMAGED_UPLOAD_HINT =
  'Nothing of it was acknowledged. Remove the object before the next run: a later run cannot see that an object uploaded in parts is damaged, and would take it for stored.';
