// rule logs: the history of runs, the lines of one, and runs as they come.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { deployByHand, fail, finish, log, logReport, type RuleCloud, startRuleCloud } from '../rule-cloud.ts';

let cloud: RuleCloud;
beforeEach(async () => {
  cloud = await startRuleCloud();
  cloud.api.state.pollsUntilActive = 0;
  deployByHand(cloud, 'orders-backup');
});
afterEach(() => cloud.close());

const ids = (out: string) =>
  out
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as { requestId: string }).requestId);

test('logs are a table of runs, the newest last, with the hint of the last failure', async () => {
  finish(cloud, 20);
  const id = fail(cloud, 5, 'COS answered SlowDown', { hint: 'Wait.' });
  const lines = (await cloud.rule('logs', 'orders-backup')).out.trimEnd().split('\n');
  expect(lines[0]).toMatch(/time +result +messages +objects +bytes +duration +request +error/);
  expect(lines[1]).toMatch(/caught_up +1,200 +3 +345\.7 kB +2\.1 s/);
  expect(lines[2]).toMatch(new RegExp(`failed +0 +0 +0 B +– +${id} +COS answered SlowDown`));
  expect(lines[3]).toBe('→ Wait.');
});

test('--errors shows failed runs only, --since and --limit bound them', async () => {
  finish(cloud, 20);
  fail(cloud, 50, 'old');
  fail(cloud, 10, 'newer');
  fail(cloud, 5, 'newest');
  const ran = await cloud.rule('logs', 'orders-backup', '--errors', '--since', '30m', '--json');
  const errors = ran.out
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as { error: string }).error);
  expect(errors).toEqual(['newer', 'newest']);
  const one = await cloud.rule('logs', 'orders-backup', '--errors', '--limit', '1', '--json');
  expect(one.out.trimEnd().split('\n')).toHaveLength(1);
});

test('More runs than a page holds are read page by page', async () => {
  for (let i = 0; i < 1_300; i++) finish(cloud, i / 10);
  const ran = await cloud.rule('logs', 'orders-backup', '--limit', '1250', '--json');
  expect(ran.out.trimEnd().split('\n')).toHaveLength(1_250);
});

test('logs of another function in the same topic are not shown', async () => {
  log(cloud, 'another', 3, { message: 'run finished' });
  expect((await cloud.rule('logs', 'orders-backup')).out).toContain('No runs');
});

test('--request shows every line of one run', async () => {
  const requestId = 'the-one';
  log(cloud, 'orders-backup', 3, { requestId, message: 'run started', driver: 'wire' });
  log(cloud, 'orders-backup', 2, { requestId, message: 'object stored', key: 'a/b.jsonl' });
  finish(cloud, 1, { requestId });
  finish(cloud, 1);
  const lines = (await cloud.rule('logs', 'orders-backup', '--request', requestId)).out.trimEnd().split('\n');
  expect(lines).toHaveLength(3);
  expect(lines[1]).toContain('object stored  key="a/b.jsonl"');
});

test('Lines that SCF has taken apart into fields are read as well', async () => {
  cloud.api.state.run = (_fn, _event, requestId) => ({
    lines: [{ message: 'run finished', stopReason: 'caught_up', requestId }],
  });
  await cloud.rule('run', 'orders-backup');
  cloud.api.state.logTopics.get('log-topic')?.forEach((line) => {
    delete line.fields['SCF_Message'];
  });
  expect((await cloud.rule('logs', 'orders-backup')).out).toContain('caught_up');
});

test('Without a log topic it says how to switch logs on', async () => {
  deployByHand(cloud, 'orders-backup', { cls: undefined });
  const ran = await cloud.rule('logs', 'orders-backup');
  expect(ran.code).toBe(1);
  expect(ran.err).toContain('tdmq-backup rule edit orders-backup --cls-logset ID --cls-topic ID');
});

test('A run that SCF ended itself is reported with its reason, and once', async () => {
  logReport(cloud, 'orders-backup', 4, 'killed', { SCF_StatusCode: '434' });
  const failed = fail(cloud, 3, 'COS refused');
  logReport(cloud, 'orders-backup', 3, failed, { SCF_StatusCode: '430' });
  const { out } = await cloud.rule('logs', 'orders-backup');
  expect(out.match(/failed/g)).toHaveLength(2);
  expect(out).toMatch(/failed .* killed +SCF ended the run at its memory limit/);
  expect(out).toMatch(/failed .* COS refused/);
});

test('A run that SCF repeated is reported as often as it ran', async () => {
  const requestId = fail(cloud, 3, 'COS refused', { requestId: 'again' });
  logReport(cloud, 'orders-backup', 3, requestId, { SCF_StatusCode: '430' });
  finish(cloud, 2, { requestId }, { SCF_RetryNum: '1' });
  const lines = (await cloud.rule('logs', 'orders-backup')).out.trimEnd().split('\n');
  expect(lines).toHaveLength(3);
  expect(lines[1]).toContain('failed');
  expect(lines[2]).toContain('caught_up');
});

test('A killed run is found among many that failed with many lines', async () => {
  logReport(cloud, 'orders-backup', 59, 'killed', { SCF_StatusCode: '433' });
  for (let i = 0; i < 60; i++) {
    const requestId = fail(cloud, i / 2, 'again');
    // SCF writes several lines of its own about a run.
    for (let line = 0; line < 3; line++)
      logReport(cloud, 'orders-backup', i / 2, requestId, { SCF_StatusCode: '430' });
  }
  const ran = await cloud.rule('logs', 'orders-backup', '--limit', '61', '--json');
  expect(ids(ran.out)[0]).toBe('killed');
});

test('A log topic that was deleted is reported, with what to do', async () => {
  cloud.api.state.logTopics.clear();
  const ran = await cloud.rule('logs', 'orders-backup');
  expect(ran.err).toContain('the log topic log-topic of orders-backup does not exist any more');
  expect(ran.err).toContain('tdmq-backup rule edit orders-backup --cls-logset');
});

describe('--follow', () => {
  /** Follows until all that is to happen, one thing before each look, has happened; then Ctrl-C. */
  async function follow(happenings: (() => void)[], ...args: string[]) {
    const interrupt = new AbortController();
    const left = [...happenings];
    cloud.clock.onSleep = (ms) => {
      // Shorter waits are between the tries of a call.
      if (ms < 5_000) return;
      const next = left.shift();
      if (next === undefined) interrupt.abort(new Error('stopped by SIGINT'));
      else next();
    };
    return await cloud.ruleWith({ signal: interrupt.signal }, 'logs', 'orders-backup', '--follow', ...args);
  }
  const nothing = () => {};

  test('prints runs as they come, in the columns of the table, each once, and ends on Ctrl-C with code 130', async () => {
    finish(cloud, 2);
    const ran = await follow([
      () => finish(cloud, 0),
      nothing,
      () => fail(cloud, 0, 'COS refused'),
      nothing,
      nothing,
    ]);
    expect(ran.code).toBe(130);
    expect(ran.err).toBe('');
    const lines = ran.out.trimEnd().split('\n');
    expect(lines).toHaveLength(4);
    expect(lines[1]?.indexOf('1,200')).toBe(lines[2]?.indexOf('1,200'));
    expect(lines[3]).toContain('COS refused');
  });

  test('begins with the head of the table where there is no run yet', async () => {
    const ran = await follow([nothing, () => finish(cloud, 0)]);
    expect(ran.out.match(/^time +result/gm)).toHaveLength(1);
    expect(ran.out.trimEnd().split('\n')).toHaveLength(2);
  });

  test('--json prints one object a line and nothing else', async () => {
    const first = finish(cloud, 2);
    let second = '';
    const ran = await follow([() => (second = finish(cloud, 0)), nothing], '--json');
    expect(ids(ran.out)).toEqual([first, second]);
  });

  test('finds a line that CLS shows minutes later', async () => {
    const ran = await follow([() => finish(cloud, 0), () => finish(cloud, 4)], '--json');
    expect(ids(ran.out)).toHaveLength(2);
  });

  test('waits for our own line before it believes that SCF ended the run', async () => {
    const report = (id: string) => () => logReport(cloud, 'orders-backup', 0, id, { SCF_StatusCode: '430' });
    const ran = await follow([
      report('late'),
      () => fail(cloud, 0, 'COS refused', { requestId: 'late' }),
      report('killed'),
      nothing,
      nothing,
    ]);
    const lines = ran.out.trimEnd().split('\n');
    expect(lines).toHaveLength(3);
    expect(lines[1]).toMatch(/late +COS refused/);
    expect(lines[2]).toMatch(/killed +SCF ended the run with status 430/);
  });

  test('prints the repetition of a run that it has printed', async () => {
    const requestId = 'again';
    const ran = await follow([
      () => fail(cloud, 0, 'COS refused', { requestId }),
      () => finish(cloud, 0, { requestId }, { SCF_RetryNum: '1' }),
      nothing,
    ]);
    expect(ran.out.match(/again/g)).toHaveLength(2);
  });

  test('goes on when the log service throttles, or cannot be reached for a while', async () => {
    const ran = await follow([
      () => cloud.api.fail({ action: 'cls:SearchLog', code: 'RequestLimitExceeded', times: 2 }),
      () => finish(cloud, 0),
      () => cloud.api.fail({ action: 'cls:SearchLog', code: 'RequestLimitExceeded', times: 7 }),
      () => cloud.api.fail({ action: 'cls:SearchLog', cut: 'before', times: 5 }),
      () => fail(cloud, 0, 'COS refused'),
      nothing,
    ]);
    expect(ran.code).toBe(130);
    expect(ran.out.trimEnd().split('\n')).toHaveLength(3);
    expect(ran.err).toContain('cls:SearchLog failed: As the test asked. (RequestLimitExceeded); going on');
  });

  test('ends when the log topic is deleted, or the keys may not look any more', async () => {
    const denied = () => cloud.api.fail({ action: 'cls:SearchLog', code: 'UnauthorizedOperation' });
    const ran = await follow([nothing, denied, nothing, nothing]);
    expect(ran.code).toBe(1);
    expect(ran.err).toContain('cls:SearchLog');
  });

  test('--errors follows failures only', async () => {
    const ran = await follow(
      [() => finish(cloud, 0), () => fail(cloud, 0, 'COS refused'), nothing],
      '--errors',
    );
    expect(ran.out).toContain('COS refused');
    expect(ran.out).not.toContain('caught_up');
  });
});
