// What a person at a shell reads when a command fails: nothing of a function's network, role or package, which are not
// where the command runs.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { main } from '../../src/cli/main.ts';
import type { CheckResult } from '../../src/rules/check-result.ts';
import { type Certificates, makeCertificates } from '../certificates.ts';
import { type LoopbackStage, startLoopbackStage, TOPIC } from '../stage/loopback-stage.ts';
import { startLoopbackBroker } from '../stand-ins/broker/broker.ts';
import { testTerminal } from './terminal.ts';

const OF_A_FUNCTION = /\bfunction|\bVPC\b|\bpackage\b|run role|deploy/i;

let rule: LoopbackStage;
let copy: string;
let certificates: Certificates;
beforeAll(() => {
  certificates = makeCertificates();
});
afterAll(() => certificates.remove());
beforeEach(async () => {
  rule = await startLoopbackStage();
  copy = mkdtempSync(join(tmpdir(), 'tdmq-backup-shell-'));
  rule.broker.publish(TOPIC, [{ payload: 'one' }]);
  expect(await main(['run'], testTerminal(rule.env).terminal)).toBe(0);
});
afterEach(async () => {
  await rule.close();
  rmSync(copy, { recursive: true, force: true });
});

async function failing(args: readonly string[], env: Record<string, string>): Promise<string> {
  const { terminal, out, err } = testTerminal({ ...rule.env, ...env });
  expect(await main(args, terminal)).toBe(1);
  return `${out()}${err()}`;
}

const RESTORE = ['archive', 'restore', '--to', 'public/default/again'];
const faults: readonly (readonly [what: string, env: () => Record<string, string>, said: RegExp])[] = [
  ['nothing listens', () => ({ PULSAR_SERVICE_URL: 'pulsar://127.0.0.1:1' }), /Nothing listens there/],
  ['nothing listens, http', () => ({ PULSAR_SERVICE_URL: 'http://127.0.0.1:1' }), /Nothing listens there/],
  [
    'no such name',
    () => ({ PULSAR_SERVICE_URL: 'pulsar://nowhere.invalid:6650' }),
    /name cannot be resolved/,
  ],
  [
    'no CA file',
    () => ({ PULSAR_SERVICE_URL: 'pulsar+ssl://127.0.0.1:1', PULSAR_TLS_CA_FILE: '/var/user/ca.pem' }),
    /PULSAR_TLS_CA_FILE must be a PEM file that can be read here/,
  ],
  [
    'TLS at a plain port',
    () => ({ PULSAR_SERVICE_URL: rule.broker.httpUrl.replace('http', 'https') }),
    /scheme/,
  ],
  ['wrong settings', () => ({ FILE_MAX_MESSAGES: 'many' }), /--env-file/],
];

describe.each([
  ['archive restore', RESTORE],
  ['run', ['run']],
  ['check', ['check', '--no-cloud', '--json']],
])('%s', (command, args) => {
  test.each(faults)('%s', async (_, env, said) => {
    const reported = await failing(args, env());
    // Whether the address is reached, check finds out for the function that it is about.
    if (command === 'check') {
      const { findings } = JSON.parse(reported) as { findings: CheckResult[] };
      for (const { item, hint = '' } of findings)
        if (item !== 'address') expect(hint).not.toMatch(OF_A_FUNCTION);
      return;
    }
    expect(reported).toMatch(said);
    expect(reported).not.toMatch(OF_A_FUNCTION);
  });
});

test('a restore to a topic that is not there speaks of that one, not of the topic that was backed up', async () => {
  const broker = await startLoopbackBroker({ autoCreatesTopics: false });
  for (const PULSAR_SERVICE_URL of [broker.serviceUrl, broker.httpUrl]) {
    const reported = await failing(RESTORE, { PULSAR_SERVICE_URL });
    expect(reported).toMatch(/public\/default\/again.*\n.*\n.*Create the topic to restore into first/);
    expect(reported).not.toMatch(/PULSAR_TOPIC/);
  }
  await broker.close();
});

test('a restore over a broker that wants client certificates says what is asked for', async () => {
  const tls = {
    key: certificates.text('server.key'),
    cert: certificates.text('server.pem'),
    ca: certificates.text('ca.pem'),
  };
  const broker = await startLoopbackBroker({ tls });
  broker.createTopic('public/default/again', 2);
  for (const PULSAR_SERVICE_URL of [broker.serviceUrl, broker.httpUrl]) {
    const env = { PULSAR_SERVICE_URL, PULSAR_TLS_CA_FILE: certificates.file('ca.pem') };
    const reported = await failing([...RESTORE, '--again'], env);
    expect(reported).toMatch(/asks for a client certificate: set PULSAR_TLS_CERT_FILE/);
    expect(reported).not.toMatch(OF_A_FUNCTION);
    const own = {
      PULSAR_TLS_CERT_FILE: certificates.file('reader.pem'),
      PULSAR_TLS_KEY_FILE: certificates.file('reader.key'),
    };
    const { terminal, err } = testTerminal({ ...rule.env, ...env, ...own });
    expect(await main([...RESTORE, '--again'], terminal), err()).toBe(0);
  }
  await broker.close();
});

test('a bucket that is not there, or keys that it does not know', async () => {
  for (const env of [{ COS_BUCKET: 'elsewhere-1250000000' }, { TENCENTCLOUD_SECRET_KEY: 'wrong' }]) {
    for (const args of [['archive', 'ls'], ['archive', 'verify'], RESTORE]) {
      const reported = await failing(args, env);
      expect(reported).toMatch(/→/);
      expect(reported).not.toMatch(OF_A_FUNCTION);
    }
  }
});
