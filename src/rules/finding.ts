// What looking at a rule's surroundings finds, item by item.

/** One thing looked at. */
export interface Finding {
  readonly item: string;
  readonly status: 'ok' | 'warn' | 'fail';
  /** What was found, in a sentence. */
  readonly cause: string;
  /** What to do, unless all is well. */
  readonly hint?: string;
}

/** All is well. */
export const ok = (item: string, cause: string): Finding => ({ item, status: 'ok', cause });
/** It works, but. */
export const warn = (item: string, cause: string, hint: string): Finding => ({
  item,
  status: 'warn',
  cause,
  hint,
});
/** It will not work. */
export const fail = (item: string, cause: string, hint: string): Finding => ({
  item,
  status: 'fail',
  cause,
  hint,
});
