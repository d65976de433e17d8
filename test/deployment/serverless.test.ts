// serverless.yml and .env.example: they fit each other, the settings' schema, and what the scf component documents.
import { parseEnv } from 'node:util';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { parseConfig } from '../../src/config.ts';
import { REGIONS, VARIABLES } from '../../src/settings.ts';
import { exampleValues, readRootFile, resolveInputs, withFurtherTimers } from '../stand-ins/framework.ts';

const serverless = readRootFile('serverless.yml');
const example = readRootFile('.env.example');
const active = exampleValues();
const commented = parseEnv(example.replace(/^#(?=[A-Z_]+=)/gm, '')) as Record<string, string>;

const number = (min: number, max: number, step = 1) => z.number().min(min).max(max).multipleOf(step);

/** The inputs of the scf component, as its documentation lists them; an unknown one is a fault. */
const documented = z.strictObject({
  name: z.string().regex(/^[A-Za-z][A-Za-z0-9_-]{0,58}[A-Za-z0-9]$/),
  description: z.string().max(1_000),
  src: z.strictObject({ src: z.string() }),
  type: z.literal('event'),
  handler: z.literal('index.main_handler'),
  runtime: z.enum(['Nodejs18.15', 'Nodejs20.19']),
  region: z.enum(REGIONS),
  memorySize: number(128, 3_072, 128),
  timeout: number(1, 900),
  role: z.string(),
  vpcConfig: z.strictObject({
    vpcId: z.string().startsWith('vpc-'),
    subnetId: z.string().startsWith('subnet-'),
  }),
  publicAccess: z.boolean(),
  cls: z.strictObject({ logsetId: z.uuid(), topicId: z.uuid() }),
  tags: z.strictObject({ 'tdmq-backup': z.string() }),
  installDependency: z.literal(false),
  environment: z.strictObject({
    variables: z.record(z.string(), z.union([z.string().min(1), z.number()])),
  }),
  events: z.tuple([
    z.strictObject({
      timer: z.strictObject({
        parameters: z.strictObject({
          name: z.string().regex(/^[A-Za-z][A-Za-z0-9_-]{0,59}$/),
          qualifier: z.literal('$DEFAULT'),
          cronExpression: z.string(),
          enable: z.literal(true),
          argument: z.string(),
        }),
      }),
    }),
  ]),
});

test('with every value of .env.example put in, serverless.yml is what the component documents', () => {
  expect(z.treeifyError(documented.safeParse(resolveInputs(active)).error ?? new z.ZodError([]))).toEqual({
    errors: [],
  });
});

test.each([5, 7, 15])('a rule that runs every %i minutes has that cron, in seven fields', (minutes) => {
  const inputs = resolveInputs({ ...active, RUN_INTERVAL_MINUTES: String(minutes) });
  expect(inputs.events[0].timer.parameters).toMatchObject({
    name: `every-${minutes}-minutes`,
    cronExpression: `0 */${minutes} * * * * *`,
    enable: true,
  });
});

test('the timers to uncomment are further instances: the same times under names of their own', () => {
  const inputs = resolveInputs(active, withFurtherTimers());
  const timers = inputs.events.map(
    (one: { timer: { parameters: { name: string } } }) => one.timer.parameters,
  );
  const [{ name: _, ...own }] = timers;
  expect(timers).toEqual(['', '-2', '-3', '-4'].map((end) => ({ ...own, name: `every-5-minutes${end}` })));
});

test('every setting is in serverless.yml, and in .env.example, active or commented out', () => {
  expect(Object.keys(resolveInputs(commented).environment.variables).sort()).toEqual(
    Object.keys(VARIABLES).sort(),
  );
  const inExample = Object.keys(commented).filter((name) => !name.startsWith('DEPLOY_'));
  expect(inExample.sort()).toEqual(Object.keys(VARIABLES).sort());
});

test('what serverless.yml reads from the environment, .env.example has', () => {
  const asked = [...serverless.matchAll(/^(?! *#).*?\$\{env:([A-Z_]+)\}/gm)].map(
    ([, name]) => name as string,
  );
  expect([...new Set(asked)].filter((name) => !(name in commented))).toEqual([]);
});

const keys = { TENCENTCLOUD_SECRETID: 'id', TENCENTCLOUD_SECRETKEY: 'key' };
const handed = (values: Record<string, string>): Record<string, string> =>
  resolveInputs(values).environment.variables;

test('the settings of .env.example are accepted, and its defaults are the defaults', () => {
  const config = parseConfig({ ...handed(active), ...keys });
  expect(config.rule).toBe('orders-backup');
  for (const [name, variable] of Object.entries(VARIABLES)) {
    if ('fallback' in variable && variable.fallback !== '')
      expect(active[name], name).toBe(variable.fallback);
  }
});

test('the settings that are commented out are valid too', () => {
  const { PULSAR_TOKEN: _, COS_SSE: __, ...others } = commented;
  expect(() => parseConfig({ ...others, COS_SSE: 'cos/kms', ...keys })).not.toThrow();
  expect(() => parseConfig({ ...active, COS_SSE: commented['COS_SSE'], ...keys })).not.toThrow();
});

test.each(Object.keys(VARIABLES))('%s left out of .env.<stage> is not set in the function either', (name) => {
  const { [name]: _, ...others } = active;
  const { [name]: __, ...rest } = handed(active);
  expect(handed(others)).toEqual(rest);
});

test('memory and time-out are numbers, whatever .env.<stage> sets or leaves out', () => {
  expect(resolveInputs({})).toMatchObject({ memorySize: 512, timeout: 285 });
  expect(resolveInputs({ ...active, DEPLOY_MEMORY_MB: '1024' })).toMatchObject({ memorySize: 512 });
});

test('its description says where the function comes from, by which `rule edit` knows', () => {
  expect(resolveInputs(active).description).toContain('serverless.yml');
});

test('a variable that is a part of a text becomes the text "undefined"', () => {
  const { RUN_INTERVAL_MINUTES: _, ...others } = active;
  expect(resolveInputs(others).events[0].timer.parameters).toMatchObject({
    name: 'every-undefined-minutes',
    cronExpression: '0 */undefined * * * * *',
  });
});

test('settings fit into what SCF allows for the environment', () => {
  const text = Object.entries(handed(active)).map(([name, value]) => `${name}=${value}`);
  expect(text.join('\n').length).toBeLessThan(4_096);
});
