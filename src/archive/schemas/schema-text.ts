// A schema as a person reads it: what it is, and its definition, indented where it is JSON. The same schema gives the same
// lines, so that two can be compared by them.
import { definitionBytes, type KeptSchema, propertiesOf, type SchemaPart } from '../../format/kept-schema.ts';
import type { Text } from '../../ports.ts';

const BASE64_WIDTH = 100;

/** All of a schema but its topic, version and checksum. */
export function schemaText(schema: KeptSchema): string {
  const { keyValue } = schema;
  if (keyValue === undefined) return partText(schema);
  const { definition: _, definitionBase64: __, ...rest } = schema;
  return [
    ...headLines(rest),
    `encoding    ${keyValue.encoding}`,
    'key',
    ...indented(partText(keyValue.key)),
    'value',
    ...indented(partText(keyValue.value)),
  ].join('\n');
}

/** JSON with a line for each value, and every number as it is written; any other text as it is. */
export function indentJson(text: string): string {
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  let out = '';
  let depth = 0;
  const line = () => `\n${'  '.repeat(depth)}`;
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s"[\]{},:]+/g) ?? [];
  for (const [at, token] of tokens.entries()) {
    const next = tokens[at + 1];
    if (token === '{' || token === '[') {
      out += token;
      if (next === '}' || next === ']') continue;
      depth++;
      out += line();
    } else if (token === '}' || token === ']') {
      const before = tokens[at - 1];
      if (before !== '{' && before !== '[') {
        depth--;
        out += line();
      }
      out += token;
    } else if (token === ',') out += `,${line()}`;
    else out += token === ':' ? ': ' : token;
  }
  return out;
}

function partText(part: SchemaPart): string {
  const definition = definitionText(part);
  return [...headLines(part), ...(definition === '' ? [] : ['definition', ...indented(definition)])].join(
    '\n',
  );
}

function headLines(part: Omit<SchemaPart, 'definition' | 'definitionBase64'>): string[] {
  const properties = propertiesOf(part).filter(([name]) => !isOfKeyValue(name));
  return [
    `type        ${part.type}`,
    ...(part.name === '' ? [] : [`name        ${part.name}`]),
    ...properties.map(([name, value]) => `property    ${textOf(name)}=${textOf(value)}`),
  ];
}

/** Properties in which a KEY_VALUE schema says what its key and value are. */
const isOfKeyValue = (name: Text) =>
  typeof name === 'string' &&
  /^(?:(?:key|value)\.schema\.(?:name|type|properties)|kv\.encoding\.type)$/.test(name);

function definitionText(part: SchemaPart): string {
  if (part.definition !== undefined) return indentJson(part.definition);
  const base64 = definitionBytes(part).toString('base64');
  return ['base64', ...(base64.match(new RegExp(`.{1,${BASE64_WIDTH}}`, 'g')) ?? [])].join('\n');
}

const indented = (text: string) => text.split('\n').map((line) => `  ${line}`);

const textOf = (text: Text) =>
  typeof text === 'string' ? text : `base64:${Buffer.from(text).toString('base64')}`;
