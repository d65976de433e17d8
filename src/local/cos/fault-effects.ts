// What each ordered fault does to a call: ends it, changes its answer, or slows it down.
import { type Pace, type Refusal, refusalAnswer } from './answering.ts';
import type { Answer } from './bucket.ts';
import { CosError } from './cos-error.ts';
import type { FaultAction, FaultMoment } from './fault-plan.ts';

/** The call ends without an answer. */
export class NoAnswer extends Error {
  readonly how: 'reset' | 'hung';

  constructor(how: 'reset' | 'hung') {
    super(`ended by order: ${how}`);
    this.how = how;
  }
}

/** The call ends with an answer that is none of COS's. */
export class OrderedAnswer extends Error {
  readonly answer: Answer;
  readonly pace: Pace;

  constructor(answer: Answer, pace: Pace = {}) {
    super('answered by order');
    this.answer = answer;
    this.pace = pace;
  }
}

/** What an error XML contains about the call. */
export interface Struck {
  readonly resource: string;
  readonly requestId: string;
}

/** Ends the call here by a throw, if that is what the fault orders for this moment. */
export function strike(
  action: FaultAction | undefined,
  moment: FaultMoment,
  { resource, requestId }: Struck,
): void {
  if (action === undefined) return;
  const isBefore = moment === 'before-commit';
  const refuse = (refusal: Refusal, pace: Pace = {}) => {
    throw new OrderedAnswer(refusalAnswer(refusal, resource, requestId), pace);
  };
  if (action.type === 'reset' && action.when === moment) throw new NoAnswer('reset');
  if (action.type === 'hang' && action.when === moment) throw new NoAnswer('hung');
  if (action.type === 'status' && (action.when ?? 'before-commit') === moment) {
    const { status, body = 'xml' } = action;
    if (body === 'empty') throw new OrderedAnswer({ status, headers: {} });
    if (body === 'html') {
      throw new OrderedAnswer({
        status,
        headers: { 'content-type': 'text/html' },
        body: `<html>${status}</html>`,
      });
    }
    refuse({ status, code: action.code ?? codeOf(status), message: 'Refused by order' });
  }
  if (action.type === 'error' && isBefore)
    throw new CosError(action.code, action.message ?? 'Refused by order');
  if (action.type === 'error-in-200' && isBefore) {
    refuse({ status: 200, code: action.code ?? 'InternalError', message: 'Refused by order, late' });
  }
  if (action.type === 'spaces-first' && action.ending === 'error' && isBefore) {
    refuse({ status: 200, code: 'InternalError', message: 'Refused by order, late' }, paceOf(action));
  }
}

function codeOf(status: number): string {
  if (status === 429) return 'TooManyRequests';
  if (status === 503) return 'SlowDown';
  return status === 403 ? 'AccessDenied' : 'InternalError';
}

/** The answer of a call that succeeded, as the fault makes it look. */
export function alterAnswer(answer: Answer, action: FaultAction | undefined): Answer {
  const { etag: _, ...withoutEtag } = answer.headers;
  const { 'x-cos-hash-crc64ecma': crc64, ...withoutCrc } = answer.headers;
  switch (action?.type) {
    case 'no-etag':
      return {
        ...answer,
        headers: withoutEtag,
        ...(answer.body === undefined ? {} : { body: answer.body.replace(/<ETag>.*?<\/ETag>/g, '') }),
      };
    case 'no-crc':
      return { ...answer, headers: withoutCrc };
    case 'wrong-crc':
      return crc64 === undefined
        ? answer
        : { ...answer, headers: { ...withoutCrc, 'x-cos-hash-crc64ecma': String(BigInt(crc64) ^ 1n) } };
    case 'empty-body':
      return { ...answer, body: '' };
    case 'spaces-first':
      // The headers leave before the sum is known.
      return { ...answer, headers: withoutCrc };
    default:
      return answer;
  }
}

/** How the answer leaves under this fault. */
export function paceOf(action: FaultAction | undefined, answer?: Answer): Pace {
  if (action?.type === 'slow') return { bytesPerSecond: action.bytesPerSecond };
  if (action?.type === 'spaces-first') return { spaces: 5 };
  if (action?.type === 'reset' && action.when === 'mid-body' && answer !== undefined) {
    return { resetAfterBytes: Math.floor((answer.announcedBytes ?? answer.body?.length ?? 0) / 2) };
  }
  return {};
}
