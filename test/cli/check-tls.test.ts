// `tdmq-backup check` of a rule whose brokers want client certificates: it shows the rule's own, in all that it asks.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { main } from '../../src/cli/main.ts';
import type { CheckResult } from '../../src/rules/check-result.ts';
import { type Certificates, makeCertificates } from '../certificates.ts';
import { type LoopbackStage, startLoopbackStage, TOPIC } from '../stage/loopback-stage.ts';
import { testTerminal } from './terminal.ts';

let certificates: Certificates;
let rule: LoopbackStage;
beforeAll(async () => {
  certificates = makeCertificates();
  const tls = {
    key: certificates.text('server.key'),
    cert: certificates.text('server.pem'),
    ca: certificates.text('ca.pem'),
  };
  rule = await startLoopbackStage({ tls });
});
afterAll(async () => {
  await rule.close();
  certificates.remove();
});

async function check(changes: Record<string, string> = {}, ...args: string[]) {
  const files = {
    PULSAR_TLS_CA_FILE: certificates.file('ca.pem'),
    PULSAR_TLS_CERT_FILE: certificates.file('reader.pem'),
    PULSAR_TLS_KEY_FILE: certificates.file('reader.key'),
  };
  const { terminal, out } = testTerminal({ ...rule.env, ...files, ...changes });
  await main(['check', '--json', '--no-cloud', ...args], terminal);
  const { findings } = JSON.parse(out()) as { findings: CheckResult[] };
  return (item: string) => findings.find((finding) => finding.item === item);
}

test('the admin API and the brokers are asked with the CA and the certificate of the settings', async () => {
  rule.broker.createSubscription(TOPIC, 'backup');
  rule.broker.publish(TOPIC, [{ payload: 'a' }]);
  const about = await check();
  // Only the admin API reports it.
  expect(about('subscription')).toMatchObject({ status: 'ok', cause: 'backup, backlog 1, no consumers' });
  expect(about('consume')).toMatchObject({ status: 'ok' });
});

test('✗ settings for files of no use, also where nothing is subscribed to', async () => {
  const about = await check({ PULSAR_TLS_KEY_FILE: certificates.file('server.key') }, '--read-only');
  expect(about('settings')).toMatchObject({ status: 'ok' });
  expect(about('certificates')).toMatchObject({
    status: 'fail',
    cause: expect.stringContaining('PULSAR_TLS_KEY_FILE'),
  });
});
