// What the Serverless Framework for SCF makes of serverless.yml and .env.<stage>, written from its public source. It
// reads no file of a stage and asks no platform: a test gives the values.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { parse } from 'yaml';
import { packageRoot } from '../../src/packaging/package-root.ts';

const root = packageRoot(import.meta.url);

/** A file of the package's root. */
export const readRootFile = (name: string): string => readFileSync(join(root, name), 'utf8');

/** The values of .env.example, without those that are commented out. */
export const exampleValues = (): Record<string, string> =>
  parseEnv(readRootFile('.env.example')) as Record<string, string>;

/** serverless.yml with the timers of further instances, which are commented out. */
export function withFurtherTimers(): string {
  const lines = readRootFile('serverless.yml').split('\n');
  const first = lines.findIndex((line) => line.startsWith('    # - timer:'));
  return lines.map((line, i) => (i < first ? line : line.replace(/^ {4}# /, '    '))).join('\n');
}

/**
 * The component's inputs: the YAML is parsed first, so a number in it stays a number and what a variable gives is a
 * text. An unset variable that is the whole value drops out; one that is a part becomes the text "undefined".
 */
export function resolveInputs(
  values: Readonly<Record<string, string>>,
  yaml = readRootFile('serverless.yml'),
  // biome-ignore lint/suspicious/noExplicitAny: a YAML document, whose shape is what tests look at
): any {
  const whole = /^\$\{env:([A-Z_]+)\}$/;
  const resolve = (_: string, value: unknown) => {
    if (typeof value !== 'string') return value;
    const name = whole.exec(value)?.[1];
    if (name !== undefined) return values[name];
    return value.replace(/\$\{env:([A-Z_]+)\}/g, (__, part: string) => String(values[part]));
  };
  return JSON.parse(JSON.stringify(parsed(yaml), resolve)).inputs;
}

const documents = new Map<string, unknown>();

/** Parsing takes longer than most tests that need it. */
function parsed(yaml: string): unknown {
  if (!documents.has(yaml)) documents.set(yaml, parse(yaml));
  return documents.get(yaml);
}
