// What one action of the loopback API is, and how its parameters are checked: like the API, it refuses parameters
// that it does not know, that are missing, or of another type.
import { ApiError } from './api-error.ts';
import type { Account } from './signature.ts';
import type { CloudState } from './state.ts';

export interface Call {
  readonly service: string;
  /** As it was addressed. */
  readonly host: string;
  readonly action: string;
  readonly region: string;
  // biome-ignore lint/suspicious/noExplicitAny: the parameters are what a client sent; `takes` has checked them
  readonly request: Record<string, any>;
}

export interface Scene extends Call {
  readonly state: CloudState;
  readonly account: Account;
  readonly nowMs: number;
}

type Kind = 'string' | 'number' | 'boolean' | 'object' | 'array';

export interface Action {
  /** Parameters by name; `!` marks those that must be there. */
  readonly takes: Readonly<Record<string, Kind | `${Kind}!`>>;
  answer(scene: Scene): Record<string, unknown> | Promise<Record<string, unknown>>;
}

/** @throws ApiError as the API has it: UnknownParameter, MissingParameter, InvalidParameter */
export function checkParameters(action: Action, request: Record<string, unknown>): void {
  for (const name of Object.keys(request)) {
    if (!(name in action.takes)) {
      throw new ApiError('UnknownParameter', `The parameter \`${name}\` is not recognized.`);
    }
  }
  for (const [name, wanted] of Object.entries(action.takes)) {
    const value = request[name];
    if (value === undefined) {
      if (wanted.endsWith('!')) {
        throw new ApiError('MissingParameter', `The request is missing a required parameter \`${name}\`.`);
      }
      continue;
    }
    const kind = Array.isArray(value) ? 'array' : typeof value;
    if (kind !== wanted.replace('!', '')) {
      throw new ApiError('InvalidParameter', `The parameter \`${name}\` should be ${wanted}, not ${kind}.`);
    }
  }
}

/** A page of what there is, as `Offset` and `Limit` ask. @throws ApiError for a Limit beyond `max` */
export function page<T>(all: Iterable<T>, scene: Scene, standard: number, max: number): T[] {
  const offset = Number(scene.request['Offset'] ?? 0);
  const limit = Number(scene.request['Limit'] ?? standard);
  if (limit > max || limit < 1) throw new ApiError('InvalidParameterValue', `Limit must be 1 to ${max}`);
  return [...all].slice(offset, offset + limit);
}
