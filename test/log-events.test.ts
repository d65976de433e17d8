// What the function logs: the table of docs/operations.md is the data of log-events.ts, and nothing else is logged.
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { LOG_EVENTS, type LogMessage } from '../src/log-events.ts';
import type { Logger } from '../src/ports.ts';
import { silentLogger } from './fakes/loggers.ts';

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');
const filesOf = (folder: string) =>
  readdirSync(new URL(`../${folder}/`, import.meta.url), { recursive: true })
    .map((file) => `${folder}/${file}`)
    .filter((file) => /\.(ts|md)$/.test(file));

const code = (text: string) => `\`${text}\``;

/** An event as a row of the table. */
function rowOf(message: LogMessage): string {
  const { level, fields, meaning } = LOG_EVENTS[message];
  const types = Object.entries<string | readonly string[]>(fields);
  const isOptional = ([, type]: (typeof types)[number]) => String(type).endsWith('?');
  const cell = ([name, type]: (typeof types)[number]) =>
    type === 'error'
      ? code('error…')
      : typeof type === 'string'
        ? code(name)
        : `${code(name)} (${type.map(code).join(', ')})`;
  const given = types.filter((one) => !isOptional(one)).map(cell);
  const optional = types.filter(isOptional).map(cell);
  const cells = [
    code(message),
    [level].flat().join(', '),
    [...given, ...(optional.length > 0 ? [`perhaps ${optional.join(', ')}`] : [])].join(', ') || '–',
    meaning,
  ];
  return `| ${cells.join(' | ')} |`;
}

describe('the table of log events', () => {
  const [, table = ''] =
    /\| message \| level \| fields \| what it says \|\n\|[-|]+\|\n((?:\|.*\n)+)/.exec(
      read('docs/operations.md'),
    ) ?? [];

  it('has a row for each event, with its level, fields and meaning, and no other row', () => {
    expect(table.trimEnd().split('\n')).toEqual((Object.keys(LOG_EVENTS) as LogMessage[]).map(rowOf));
  });
});

describe('the log events', () => {
  const sources = filesOf('src').filter((file) => file !== 'src/log-events.ts');

  it('are all logged by the function', () => {
    const text = sources.map(read).join('\n');
    for (const message of Object.keys(LOG_EVENTS)) expect(text, message).toContain(`'${message}'`);
  });

  it('are what every query of the documentation and of the command line asks for', () => {
    const asked = ['docs/operations.md', 'src/rules/run-history.ts'].flatMap((file) =>
      [...read(file).matchAll(/(?:message:|AND |OR |\(|')"([a-z ]+)"/g)].map(([, message]) => message),
    );
    expect(asked).toContain('backlog held back');
    for (const message of asked) expect(Object.keys(LOG_EVENTS)).toContain(message);
  });

  it('are logged with their own level and fields, or the code does not compile', () => {
    const logger: Logger = silentLogger;
    const stored = { key: 'a', messages: 1, bytes: 1, rollReason: 'end', durationMs: 1 } as const;
    logger.info(stored, 'object stored');
    logger.warn({ topic: 't' }, 'consumer lost');
    logger.warn({ topic: 't', reason: 'r' }, 'consumer lost');
    // @ts-expect-error: no such event
    logger.info(stored, 'object saved');
    // @ts-expect-error: another level
    logger.warn(stored, 'object stored');
    // @ts-expect-error: a field is missing
    logger.info({ key: 'a' }, 'object stored');
    // @ts-expect-error: a field too many, also where it comes with others
    logger.info({ ...stored, ...{ color: 'red' } }, 'object stored');
    // @ts-expect-error: another type
    logger.info({ ...stored, messages: '1' }, 'object stored');
    // @ts-expect-error: none of the values that it may have
    logger.info({ ...stored, rollReason: 'moon' }, 'object stored');
  });
});
