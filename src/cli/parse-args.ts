// node:util's parseArgs, for commands whose options say what is read or written: an option that takes one value and is
// given two is refused, where parseArgs would pass over the first, and so is a place without a name. It prints nothing.
import { parseArgs as parse } from 'node:util';
import { UsageError } from './usage-error.ts';

/** Of a variable of the shell that is not set, the place would be the working directory. */
const PLACES = new Set([
  'folder',
  'to-folder',
  'to',
  'to-env-file',
  'report',
  'state',
  'earlier',
  'html',
  'out',
  'tables',
]);

type Config = NonNullable<Parameters<typeof parse>[0]>;

/** As parseArgs of node:util. @throws UsageError as above; what parseArgs throws */
export function parseArgs<T extends Config>(config: T): ReturnType<typeof parse<T>> {
  const { tokens } = parse({ ...config, tokens: true });
  const given = new Map<string, string>();
  for (const token of tokens ?? []) {
    if (token.kind !== 'option' || token.value === undefined) continue;
    if (token.value === '' && PLACES.has(token.name))
      throw new UsageError(`--${token.name} has nothing behind it: a name is needed`);
    const before = given.get(token.name);
    if (before !== undefined && before !== token.value && config.options?.[token.name]?.multiple !== true)
      throw givenTwice(token.name);
    given.set(token.name, token.value);
  }
  return parse(config);
}

/** The refusal. It does not repeat the values: one may be a secret. */
export const givenTwice = (name: string) => new UsageError(`--${name} takes one value, and is given two`);
