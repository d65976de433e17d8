// The rule commands as a terminal and a pipe see them: help, wrong usage, colour, exit codes.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { deployByHand, log, type RuleCloud, startRuleCloud } from '../rule-cloud.ts';

let cloud: RuleCloud;
beforeEach(async () => {
  cloud = await startRuleCloud();
  cloud.api.state.pollsUntilActive = 0;
});
afterEach(() => cloud.close());

const NAMES = ['create', 'list', 'show', 'edit', 'logs', 'pause', 'resume', 'run', 'delete', 'export'];

test.each(NAMES)('rule %s --help has usage, examples, where keys come from, and exit codes', async (name) => {
  const { code, out } = await cloud.rule(name, '--help');
  expect(code).toBe(0);
  expect(out).toContain(`Usage: tdmq-backup rule ${name}`);
  expect(out).toMatch(new RegExp(`Examples?:\\n {2}tdmq-backup rule ${name}`));
  expect(out).toContain('TENCENTCLOUD_SECRET_ID');
  expect(out).toMatch(/Exit codes: 0 .*, 1 .*, 2 wrong usage, 130 interrupted/);
  expect(out).toContain('--json');
  for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(120);
});

test('rule --help lists every command', async () => {
  const { out } = await cloud.rule('--help');
  for (const name of NAMES) expect(out).toMatch(new RegExp(`^ {2}${name} +\\w`, 'm'));
});

test.each([
  [['show'], 'rule show: name the rule'],
  [['show', 'a', 'b'], 'one rule at a time: b is too much'],
  [[], 'name what to do'],
  [['lst'], 'did you mean rule list?'],
  [['logs', 'a', '--limit', 'x'], '--limit: expected 1 to 9999'],
  [['logs', 'a', '--since', 'x'], '--since x: expected 30m, 24h, 7d or an ISO time'],
  [['list', '--wrong'], "Unknown option '--wrong'"],
  [['create', '--wrong'], "Unknown option '--wrong'"],
  [['create', '--set', 'FILE_COMPRESSON=gzip'], 'did you mean FILE_COMPRESSION?'],
  [['edit', 'a', '--set', 'x'], '--set x: expected NAME=VALUE'],
] as const)('%j is wrong usage: exit code 2, the fault, and where help is', async (args, fault) => {
  const { code, out, err } = await cloud.rule(...args);
  expect(code).toBe(2);
  expect(out).toBe('');
  expect(err).toContain(fault);
  expect(err).toMatch(/See tdmq-backup rule( \w+)? --help/);
  expect(cloud.api.calls).toEqual([]);
});

describe('Colour', () => {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what it is about
  const COLOUR = /\u001b\[\d+m/;
  const commands = [
    ['list'],
    ['show', 'orders-backup'],
    ['logs', 'orders-backup'],
    ['edit', 'orders-backup', '--memory', '640', '--yes'],
    ['run', 'orders-backup'],
  ];
  beforeEach(() => {
    deployByHand(cloud, 'orders-backup');
    log(cloud, 'orders-backup', 2, { message: 'run failed', errorMessage: 'COS refused' });
  });

  test.each(commands)(
    '%s: on a terminal, not with NO_COLOR, not for TERM=dumb, not when piped',
    async (...args) => {
      const shown = async (env?: Record<string, string>) => {
        const { out, err } =
          env === undefined ? await cloud.rule(...args) : await cloud.ruleOnTerminal(args, [], env);
        return out + err;
      };
      expect(await shown()).not.toMatch(COLOUR);
      expect(await shown()).not.toContain('\u001b');
      expect(await shown({ NO_COLOR: '1' })).not.toMatch(COLOUR);
      expect(await shown({ TERM: 'dumb' })).not.toMatch(COLOUR);
      if (args[0] !== 'edit') expect(await shown({})).toMatch(COLOUR);
    },
  );
});

test('A failure with --json is JSON on stdout, with code, message, hint and the words of the API', async () => {
  cloud.api.fail({ action: 'scf:ListFunctions', code: 'UnauthorizedOperation' });
  const ran = await cloud.rule('list', '--json');
  expect(ran.code).toBe(1);
  expect(JSON.parse(ran.out)).toMatchObject({
    error: {
      code: 'rule',
      hint: expect.stringContaining('policies/'),
      details: { apiCode: 'UnauthorizedOperation' },
    },
  });
});

test('An answer on stdout is free of progress, which goes to stderr', async () => {
  deployByHand(cloud, 'orders-backup');
  const ran = await cloud.ruleOnTerminal(['list', '--json'], []);
  expect(() => JSON.parse(ran.out)).not.toThrow();
  expect(ran.err).toContain('asking how the rules are');
});

test.each([
  ['scf:ListFunctions', 'list'],
  ['cls:SearchLog', 'logs', 'orders-backup'],
  ['tdmq:DescribeTopics', 'show', 'orders-backup'],
])('Ctrl-C at %s, which hangs, ends `rule %s` at once', async (action, ...args) => {
  deployByHand(cloud, 'orders-backup');
  cloud.api.fail({ action, hang: 'before', times: 9 });
  const interrupt = new AbortController();
  cloud.api.onCall = (call) => {
    if (`${call.service}:${call.action}` === action) interrupt.abort(new Error('stopped by SIGINT'));
  };
  const ran = await cloud.ruleWith({ signal: interrupt.signal }, ...args);
  expect(ran.code).toBe(130);
  expect(ran.err).toBe(`tdmq-backup rule ${args[0]}: interrupted\n`);
});
