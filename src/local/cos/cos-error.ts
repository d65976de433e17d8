// The refusals of the loopback COS, by COS's own names (API documentation, "Error Codes").

const STATUS_BY_CODE = {
  BadDigest: 400,
  EntityTooLarge: 400,
  EntityTooSmall: 400,
  InvalidArgument: 400,
  InvalidDigest: 400,
  InvalidPart: 400,
  InvalidPartOrder: 400,
  KeyTooLong: 400,
  MalformedXML: 400,
  MetadataTooLarge: 400,
  AccessDenied: 403,
  ExpiredToken: 403,
  InvalidAccessKeyId: 403,
  InvalidObjectState: 403,
  RequestTimeTooSkewed: 403,
  SignatureDoesNotMatch: 403,
  NoSuchBucket: 404,
  NoSuchKey: 404,
  NoSuchLifecycleConfiguration: 404,
  NoSuchUpload: 404,
  MethodNotAllowed: 405,
  FileAlreadyExists: 409,
  RestoreAlreadyInProgress: 409,
  MissingContentLength: 411,
  InvalidRange: 416,
  TooManyRequests: 429,
  InternalError: 500,
  NotImplemented: 501,
  ServiceUnavailable: 503,
  SlowDown: 503,
} as const;

export type CosErrorCode = keyof typeof STATUS_BY_CODE;

/** Every error code that the server knows by name. */
export const COS_ERROR_CODES = Object.keys(STATUS_BY_CODE) as readonly CosErrorCode[];

/** A refusal that is answered as COS's error XML. */
export class CosError extends Error {
  override readonly name = 'CosError';
  readonly code: string;
  readonly status: number;

  constructor(code: CosErrorCode, message: string) {
    super(message);
    this.code = code;
    this.status = STATUS_BY_CODE[code];
  }
}
