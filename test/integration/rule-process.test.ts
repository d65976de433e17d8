// The rule commands in processes of their own: Ctrl-C at each step, a terminal that is asked and hung up, readers that go
// away. The cloud is the loopback API.
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { bundleCli } from '../../src/packaging/bundle.ts';
import { packageRoot } from '../../src/packaging/package-root.ts';
import { CREATE, CREATION, log, type RuleCloud, startRuleCloud, tracesIn } from '../cli/rule-cloud.ts';
import { runCommand } from './run-command.ts';

const root = packageRoot(import.meta.url);
const BIN = join(root, 'dist/cli/tdmq-backup.js');
beforeAll(() => bundleCli(root, join(root, 'dist/cli')));

const children: ChildProcess[] = [];
let cloud: RuleCloud;
let nothing: object;
beforeEach(async () => {
  cloud = await startRuleCloud();
  nothing = tracesIn(cloud);
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  return cloud.close();
});

const environment = () => ({ ...process.env, NO_COLOR: '', TERM: 'xterm', ...cloud.env });

/** A rule command that runs, and what it has said. */
function start(...args: string[]) {
  const own = args[0] === 'create' ? [...args, '--package', cloud.zip] : args;
  const child = spawn(process.execPath, [BIN, 'rule', ...own], { env: environment() });
  children.push(child);
  const said = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said.out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said.err += text;
  });
  const ended = new Promise<{ code: number | null; out: string; err: string }>((resolve) => {
    child.on('close', (code) => resolve({ code, ...said }));
  });
  return { child, ended, said };
}

/** Calls `then` at the call of `action` that has so many before it. */
function at(action: string, after: number, then: () => void): void {
  let seen = 0;
  cloud.api.onCall = (call) => {
    if (`${call.service}:${call.action}` === action && seen++ === after) then();
  };
}

describe('SIGINT leaves nothing half-made', () => {
  it.each(CREATION)('when it comes at %s (after %i of them)', async (action, after) => {
    const { child, ended } = start(...CREATE);
    at(action, after, () => child.kill('SIGINT'));
    const ran = await ended;
    // The answer to the last call may be faster than the signal: then the whole rule is there.
    if (action === 'scf:CreateTrigger' && ran.code === 0) {
      expect(cloud.api.state.functions.get('orders-backup')?.triggers).toHaveLength(1);
      return;
    }
    expect(ran).toMatchObject({ code: 130 });
    expect(ran.err).toContain('Interrupted: ');
    expect(ran.err).not.toContain('left behind');
    expect(tracesIn(cloud)).toEqual(nothing);
  });

  it.each(['SIGTERM', 'SIGHUP'] as const)('nor does %s', async (signal) => {
    const { child, ended } = start(...CREATE);
    at('tdmq:CreateSubscription', 0, () => child.kill(signal));
    expect(await ended).toMatchObject({ code: 130 });
    expect(tracesIn(cloud)).toEqual(nothing);
  });

  it('when one Ctrl-C comes twice, from the terminal and passed on by npx', async () => {
    const { child, ended, said } = start(...CREATE);
    at('scf:CreateFunction', 0, () => {
      child.kill('SIGINT');
      // Its next call comes after it has seen the first one.
      cloud.api.onCall = () => {
        if (said.err.includes('Interrupted')) child.kill('SIGINT');
      };
    });
    expect(await ended).toMatchObject({ code: 130 });
    expect(tracesIn(cloud)).toEqual(nothing);
  });

  it('but a person who insists is obeyed', async () => {
    cloud.api.fail({ action: 'scf:CreateFunction', hang: 'after' });
    const { child, ended } = start(...CREATE);
    let insisting: NodeJS.Timeout | undefined;
    at('scf:CreateFunction', 0, () => {
      insisting = setInterval(() => child.kill('SIGINT'), 100);
    });
    const ran = await ended;
    clearInterval(insisting);
    expect(ran).toMatchObject({ code: 130 });
    expect(ran.err).toContain('Again ends at once and leaves it half-made');
  });
});

describe('A reader that goes away', () => {
  /** Runs the command with a reader that reads nothing, and answers the command's own exit code. */
  const piped = async (what: '|' | '2>&1 |', ...args: string[]) => {
    const command = [process.execPath, BIN, 'rule', ...args].map((one) => `'${one}'`).join(' ');
    const told = await runCommand('bash', ['-c', `set -o pipefail; ${command} ${what} true; echo $?`], {
      timeoutMs: 60_000,
      env: environment(),
    });
    return told.trim();
  };

  it('in the middle of an edit does not leave it half-made', async () => {
    const fn = await cloud.createOrders();
    const args = ['edit', 'orders-backup', '--memory', '1024', '--interval', '10', '--yes'];
    expect(await piped('|', ...args)).toBe('0');
    expect(fn).toMatchObject({
      memory: 1024,
      reservedMemory: 1024,
      triggers: [{ cron: '0 */10 * * * * *' }],
    });
  });

  it('of everything that a creation says does not leave it half-made', async () => {
    const args = [...CREATE, '--package', cloud.zip];
    expect(await piped('2>&1 |', ...args)).toBe('0');
    expect(cloud.api.state.functions.get('orders-backup')?.triggers).toHaveLength(1);
  });

  it('ends the following of a rule, which would go on for ever', async () => {
    await cloud.createOrders();
    log(cloud, 'orders-backup', 0, {
      requestId: 'the-one',
      message: 'run finished',
      stopReason: 'caught_up',
    });
    expect(await piped('|', 'logs', 'orders-backup', '--follow')).toBe('0');
  });

  it('of a list is no failure', async () => {
    await cloud.createOrders();
    expect(await piped('|', 'list')).toBe('0');
  });
});

it('logs --follow prints a run that comes later, and ends on Ctrl-C with code 130', async () => {
  await cloud.createOrders();
  const { child, ended, said } = start('logs', 'orders-backup', '--follow');
  const run = {
    message: 'run finished',
    stopReason: 'caught_up',
    messages: 42,
    objects: 1,
    recordBytes: 4200,
  };
  cloud.api.onCall = (call) => {
    if (call.action !== 'SearchLog') return;
    if (said.out.includes('the-one')) child.kill('SIGINT');
    else if (said.out.includes('request')) log(cloud, 'orders-backup', 0, { requestId: 'the-one', ...run });
  };
  const ran = await ended;
  expect(ran.code).toBe(130);
  expect(ran.out.match(/the-one/g)).toHaveLength(1);
  expect(ran.err).toBe('');
});

describe('On a terminal', () => {
  type Step = { wait: string; type: string } | { wait: string; hangUp: true };
  /** Ctrl-C and Ctrl-D, as a keyboard sends them. */
  const [CTRL_C, CTRL_D] = ['\u0003', '\u0004'];
  /** From the first choice to the last. */
  const UP = '\u001b[A';

  async function onTerminal(args: readonly string[], steps: readonly Step[]) {
    const own = args[0] === 'create' ? [...args, '--package', cloud.zip] : args;
    const command = [process.execPath, BIN, 'rule', ...own];
    const told = await runCommand('python3', [join(root, 'test/integration/terminal.py')], {
      timeoutMs: 100_000,
      env: environment(),
      input: JSON.stringify({ command, steps }),
    });
    return JSON.parse(told) as { code: number; output: string };
  }
  const FIRST_ANSWERS: readonly Step[] = [
    { wait: 'Name of the rule', type: 'asked\r' },
    { wait: 'Name of the new subscription', type: '\r' },
    { wait: 'key_shared: at least once', type: '\r' },
    { wait: 'the earliest message there is', type: '\r' },
    { wait: 'Bucket (name-appid)', type: 'archive-1250000000\r' },
    { wait: 'Prefix of the objects', type: 'tdmq/\r' },
    { wait: 'Minutes between runs', type: '10\r' },
    { wait: 'each run stores all', type: '\r' },
    { wait: 'Memory of the function', type: '\r' },
    { wait: 'Time limit of a run', type: '\r' },
    { wait: 'own topic', type: '\r' },
  ];

  it('create asks for everything, shows its plan in colour, and makes the rule', async () => {
    const ran = await onTerminal(['create'], [...FIRST_ANSWERS, { wait: 'make nothing', type: '\r' }]);
    expect(ran).toMatchObject({ code: 0 });
    expect(ran.output).toContain('The rule asked runs every 10 minutes');
    expect(ran.output).toContain('\u001b[32m✓\u001b[39m create the function asked');
    expect(ran.output).not.toContain('role-key-of-the-test');
    expect(cloud.api.state.functions.get('asked')).toMatchObject({
      status: 'Active',
      triggers: [{ open: true }],
    });
  });

  it('no makes nothing, Ctrl-C and Ctrl-D at a question make nothing', async () => {
    const no = await onTerminal(['create'], [...FIRST_ANSWERS, { wait: 'make nothing', type: `${UP}\r` }]);
    expect(no.code).toBe(1);
    expect(no.output).toContain('Nothing was made');
    const interrupted = await onTerminal(
      ['create'],
      [...FIRST_ANSWERS, { wait: 'make nothing', type: CTRL_C }],
    );
    expect(interrupted.code).toBe(130);
    const ended = await onTerminal(['create'], [{ wait: 'Name of the rule', type: CTRL_D }]);
    expect(ended.code).toBe(2);
    expect(tracesIn(cloud)).toEqual(nothing);
  });

  it('Ctrl-C in the middle takes back what was made, and shows it', async () => {
    const ran = await onTerminal(CREATE, [{ wait: '… let one instance run', type: CTRL_C }]);
    expect(ran.code).toBe(130);
    expect(ran.output).toContain('↩\u001b[39m delete the function orders-backup');
    expect(tracesIn(cloud)).toEqual(nothing);
  });

  it('a terminal that is closed in the middle leaves nothing half-made', async () => {
    const ran = await onTerminal(CREATE, [{ wait: '… let one instance run', hangUp: true }]);
    // Node itself may fail at its very end, when it finds no terminal to set back.
    expect(ran.code).not.toBe(0);
    expect(tracesIn(cloud)).toEqual(nothing);
  });

  it('edit shows the difference and asks', async () => {
    const fn = await cloud.createOrders();
    writeFileSync(cloud.zip, 'PK other');
    const args = ['edit', 'orders-backup', '--memory', '1024'];
    const ran = await onTerminal(args, [{ wait: 'Change the rule orders-backup?', type: `${UP}\r` }]);
    expect(ran.code).toBe(0);
    expect(ran.output).toContain('\u001b[31m- memory 512 MB\u001b[39m');
    expect(ran.output).toContain('\u001b[32m+ memory 1024 MB\u001b[39m');
    expect(fn.memory).toBe(1024);
  });
});
