// `tdmq-backup archive schemas`: lists the schemas of an archive, prints one, compares two, or asks a broker for those that
// records name and the archive lacks.

import { fetchSchemas } from '../../archive/schemas/fetch-schemas.ts';
import { schemaText } from '../../archive/schemas/schema-text.ts';
import {
  describeSchemas,
  type ListedSchema,
  listSchemas,
  readSchema,
  type SchemaSummary,
  summaryOf,
} from '../../archive/schemas/schemas.ts';
import { BackupError } from '../../errors.ts';
import { encodeKeptSchema, versionText } from '../../format/kept-schema.ts';
import { systemClock } from '../../lib/clock.ts';
import { type DiffLine, diffLines, withContext } from '../../lib/line-diff.ts';
import { createWireSchemaClient } from '../../pulsar/wire/schema-client.ts';
import type { Command, Terminal } from '../command.ts';
import { parseArgs } from '../parse-args.ts';
import { paint } from '../terminal/paint.ts';
import { startProgress } from '../terminal/progress.ts';
import { UsageError } from '../usage-error.ts';
import { LOCATION_HELP, LOCATION_OPTIONS, numberOption, openLocation } from './location.ts';
import { schemaLines } from './ls-text.ts';
import type { Location } from './opened-location.ts';
import { pulsarAccess } from './pulsar-access.ts';

const CONTEXT_LINES = 3;
const MAX_NAMED = 20;

export const command: Command = {
  summary: 'list, print and compare the schemas that messages name',
  help: `
Usage: tdmq-backup archive schemas [options]
       tdmq-backup archive schemas --version V
       tdmq-backup archive schemas --diff V1 V2
       tdmq-backup archive schemas fetch [options]

Lists the schemas of an archive, prints one, or compares two. A version with several definitions (the topic was
deleted and created again) has one name for each: 0, and 0- with digits of its SHA-256.

fetch is for archives of versions that did not store schemas: it reads every record, and asks the broker
(PULSAR_SERVICE_URL, with PULSAR_TOKEN) for each version in records that the archive lacks. The broker has the schemas of
the current topic: if the topic was deleted and created again, older records have another schema. Exit code 1: some are
missing.

  --version V      print this one; with --json as it is stored
  --diff V1 V2     print the lines in which two differ
  --parallel N     fetch: objects at a time; 4 by default
  --json           as JSON
${LOCATION_HELP}

Examples:
  tdmq-backup archive schemas --env-file .env.orders
  tdmq-backup archive schemas --env-file .env.orders --diff 0 1
  tdmq-backup archive schemas --folder ./copy --version 1 --json | jq -r .definition
  tdmq-backup archive schemas fetch --env-file .env.orders
`,
  endsWithinMs: 500,
  async run(args, terminal) {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        ...LOCATION_OPTIONS,
        version: { type: 'string' },
        diff: { type: 'string' },
        parallel: { type: 'string', default: '4' },
        json: { type: 'boolean', default: false },
      },
    });
    const parallel = numberOption('--parallel', values.parallel, 1, 64);
    const { version, diff, json } = values;
    const isFetch = positionals[0] === 'fetch';
    if (isFetch ? version !== undefined || diff !== undefined : version !== undefined && diff !== undefined)
      throw new UsageError('fetch, --version and --diff are different things: choose one');
    const wanted = isFetch || diff !== undefined ? 1 : 0;
    if (positionals.length !== wanted)
      throw new UsageError(
        diff !== undefined
          ? '--diff takes two versions: --diff 0 1'
          : `${JSON.stringify(positionals[wanted])} is not understood: archive schemas takes fetch, or options`,
      );
    const location = await openLocation(values, terminal, parallel);
    try {
      if (isFetch) return await fetch(location, parallel, json, terminal);
      const listed = await findSchemas(location, terminal);
      if (diff !== undefined)
        await compare(location, listed, [diff, positionals[0] as string], json, terminal);
      else if (version !== undefined) await print(location, listed, version, json, terminal);
      else await list(location, listed, json, terminal);
      return 0;
    } finally {
      await location.close();
    }
  },
};

async function findSchemas(
  { store, prefix, topic, name }: Location,
  { signal }: Terminal,
): Promise<ListedSchema[]> {
  const listed = await listSchemas(store, prefix, topic, { signal });
  if (listed.length > 0) return listed;
  throw new BackupError(
    'config',
    `${name} holds no schemas${topic === undefined ? '' : ` of ${topic.full}`}`,
    {
      hint: 'Schemas are kept as messages that name them are stored. For what was stored before: archive schemas fetch.',
    },
  );
}

async function list(
  { store }: Location,
  listed: readonly ListedSchema[],
  json: boolean,
  { stdout, signal }: Terminal,
): Promise<void> {
  const schemas: SchemaSummary[] = [];
  for await (const one of describeSchemas(store, listed, { signal })) schemas.push(summaryOf(one));
  if (json) stdout.write(`${JSON.stringify({ format: 'tdmq-backup-schemas/1', schemas })}\n`);
  else stdout.write(`${schemaLines(schemas).join('\n').trimEnd()}\n`);
}

/** The schema of a name or a version. @throws UsageError where there is none, or several */
function choose(listed: readonly ListedSchema[], wanted: string): ListedSchema {
  const named = listed.filter(({ name }) => name === wanted);
  const found = named.length > 0 ? named : listed.filter(({ version }) => versionText(version) === wanted);
  const [first] = found;
  if (first !== undefined && found.length === 1) return first;
  const topics = new Set(found.map(({ topic }) => topic));
  const lines = (some: readonly string[]) =>
    some
      .slice(0, MAX_NAMED)
      .map((one) => `\n  ${one}`)
      .join('') + (some.length > MAX_NAMED ? '\n  and more' : '');
  if (topics.size > 1)
    throw new UsageError(
      `several topics have a schema ${wanted}: choose one${lines([...topics].map((one) => `--topic ${one}`))}`,
    );
  throw new UsageError(
    `there is no schema ${wanted}; here are${lines(listed.map(({ topic, name }) => `${name} of ${topic}`))}`,
  );
}

async function print(
  { store }: Location,
  listed: readonly ListedSchema[],
  version: string,
  json: boolean,
  { stdout, signal }: Terminal,
): Promise<void> {
  const one = choose(listed, version);
  const schema = await readSchema(store, one, { signal });
  if (json) stdout.write(encodeKeptSchema(schema));
  else
    stdout.write(
      `topic       ${schema.topic}\nversion     ${one.name}\nsha256      ${schema.sha256}\n${schemaText(schema)}\n`,
    );
}

async function compare(
  { store }: Location,
  listed: readonly ListedSchema[],
  versions: readonly [string, string],
  json: boolean,
  { stdout, env, signal }: Terminal,
): Promise<void> {
  const both = versions.map((version) => choose(listed, version)) as [ListedSchema, ListedSchema];
  const [before, after] = (await Promise.all(both.map((one) => readSchema(store, one, { signal })))).map(
    schemaText,
  ) as [string, string];
  const lines = diffLines(before, after);
  if (json) {
    const changes = lines.filter(({ kind }) => kind !== 'same');
    const [from, to] = both.map(({ topic, name }) => ({ topic, name }));
    stdout.write(`${JSON.stringify({ format: 'tdmq-backup-schema-diff/1', from, to, changes })}\n`);
    return;
  }
  const { red, green, dim } = paint(stdout, env);
  const shown = ({ kind, text }: DiffLine) =>
    kind === 'same' ? `  ${text}` : kind === 'gone' ? red(`- ${text}`) : green(`+ ${text}`);
  const [from, to] = both;
  stdout.write(`${red(`--- ${from.topic} ${from.name}`)}\n${green(`+++ ${to.topic} ${to.name}`)}\n`);
  const picked = withContext(lines, CONTEXT_LINES);
  if (picked.length === 0) stdout.write('no difference\n');
  for (const line of picked) stdout.write(`${line === undefined ? dim('  …') : shown(line)}\n`);
}

async function fetch(
  { store, prefix, topic, knowsMetadata }: Location,
  parallel: number,
  json: boolean,
  terminal: Terminal,
): Promise<number> {
  const config = await pulsarAccess(
    terminal,
    'Set it to the cluster that the messages came from, and PULSAR_TOKEN to the key of a role that may consume there.',
  );
  const { signal, stdout, env } = terminal;
  const client = createWireSchemaClient({ config, clock: systemClock, signal });
  const progress = startProgress(terminal.stderr);
  progress.update('reading the records');
  try {
    const fetched = await fetchSchemas(store, prefix, {
      ...{ topic, isLocal: !knowsMetadata, parallel, signal, ask: client.read },
      onProgress: (objects) => progress.update(`${objects.toLocaleString('en-US')} objects read`),
    }).finally(progress.clear);
    const of = (wanted: string) => fetched.filter(({ outcome }) => outcome === wanted).length;
    const counts = { stored: of('stored'), kept: of('kept'), missing: of('missing') };
    if (json)
      stdout.write(
        `${JSON.stringify({ format: 'tdmq-backup-schemas-fetch/1', ...counts, schemas: fetched })}\n`,
      );
    else {
      const { red, green, yellow } = paint(stdout, env);
      for (const { topic: of, version, outcome, key, reason } of fetched)
        if (outcome === 'stored') stdout.write(`${green('✓')} ${key}\n`);
        else if (outcome === 'missing') stdout.write(`${red('✗')} ${of} ${version}\n    ${reason}\n`);
      const sum = `${counts.stored} schemas stored, ${counts.kept} kept before, ${counts.missing} that the broker does not give`;
      stdout.write(
        fetched.length === 0
          ? 'No record names a schema.\n'
          : `${counts.missing > 0 ? yellow('⚠') : green('✓')} ${sum}\n`,
      );
    }
    return counts.missing > 0 ? 1 : 0;
  } finally {
    progress.clear();
    await client.close();
  }
}
