// rule delete --delete-objects: what goes, what stays, and what is asked before, against the loopback cloud and COS.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createCosStore } from '../../../src/cos/store.ts';
import { Secret } from '../../../src/lib/secret.ts';
import { checkSettings } from '../../../src/rules/rule.ts';
import { deployByHand, type RuleCloud, startRuleCloud } from '../rule-cloud.ts';

const OWN = [
  'tdmq/orders/pulsar-abc/default/orders/date=2026-01-01/partition=none/000000000001-0000000001-00000.jsonl.gz',
  'tdmq/orders/pulsar-abc/default/orders/date=2026-01-02/partition=0/000000000001-0000000002-00000.jsonl.gz',
  'tdmq/orders/_runs/rule=orders-backup/date=2026-01-01/20260101T000000000Z-request.json',
  'tdmq/orders/_unreadable/pulsar-abc/default/orders/partition=none/000000000001-0000000003.bin',
  'tdmq/orders/_schemas/pulsar-abc/default/orders/0.json',
];
const FOREIGN = [
  'readme.txt',
  'tdmq/orders/_runs/rule=orders-backup-2/date=2026-01-01/20260101T000000000Z-request.json',
  'tdmq/orders/_unreadable/pulsar-abc/default/orders-2/partition=none/000000000001-0000000003.bin',
  'tdmq/orders/_schemas/pulsar-abc/default/orders-2/0.json',
  'tdmq/orders/notes.txt',
  'tdmq/orders/pulsar-abc/default/orders-2/date=2026-01-01/partition=none/000000000001-0000000001-00000.jsonl.gz',
  'tdmq/orders/pulsar-abc/other/orders/date=2026-01-01/partition=none/000000000001-0000000001-00000.jsonl.gz',
  'tdmq/pulsar-abc/default/orders/date=2026-01-01/partition=none/000000000001-0000000001-00000.jsonl.gz',
];
const DELETE = ['delete', 'orders-backup', '--delete-objects'];

let cloud: RuleCloud;
beforeEach(async () => {
  cloud = await startRuleCloud();
  const { environment } = deployByHand(cloud, 'orders-backup');
  const { secretId, secretKey, token = '' } = cloud.api.account;
  const credentials = {
    secretId,
    secretKey: new Secret(secretKey),
    sessionToken: new Secret(token),
  };
  const { cos } = checkSettings(environment, 'orders-backup', 'ap-guangzhou');
  const logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  const store = createCosStore({ ...cos, credentials, endpoint: cloud.cos.url }, { logger });
  const body = { chunks: [Buffer.from('x')], sizeBytes: 1 };
  for (const key of [...OWN, ...FOREIGN]) {
    await store.admin.putReplaceable(key, body, { metadata: {}, contentType: 'text/plain' });
  }
  await store.close();
});
afterEach(() => cloud.close());

const keys = () => cloud.cos.objects().map((one) => one.key);
const everything = [...OWN, ...FOREIGN].sort();
const isRuleThere = () => cloud.api.state.functions.has('orders-backup');
const removals = () => cloud.cos.requests().filter((one) => one.kind === 'delete');

test('Without the flag no object is removed', async () => {
  const ran = await cloud.rule('delete', 'orders-backup', '--yes');
  expect(ran).toMatchObject({ code: 0 });
  expect(ran.out).toContain('the stored objects under archive-1250000000/tdmq/orders/');
  expect(isRuleThere()).toBe(false);
  expect(keys()).toEqual(everything);
  expect(removals()).toEqual([]);
});

test('With the flag and --yes the rule’s own objects go after the function, and foreign ones stay', async () => {
  const wasThere: boolean[] = [];
  cloud.cos.setOnRequest((kind) => {
    if (kind === 'delete') wasThere.push(isRuleThere());
  });
  const ran = await cloud.rule(...DELETE, '--yes');
  expect(ran).toMatchObject({ code: 0 });
  expect(ran.err).toContain('remove 5 objects of the bucket archive-1250000000 with the prefix tdmq/orders/');
  expect(ran.out).toContain('5 objects are removed from archive-1250000000');
  expect(ran.out).not.toContain('the stored objects');
  expect(keys()).toEqual([...FOREIGN].sort());
  expect(removals()).toHaveLength(5);
  expect(wasThere).toEqual([false, false, false, false, false]);
});

test('On a terminal the name of the rule must be typed, after bucket, prefix and number were reported', async () => {
  const refused = await cloud.ruleOnTerminal(DELETE, ['yes', 'y']);
  expect(refused).toMatchObject({ code: 1 });
  expect(refused.err).toContain('This removes 5 objects from archive-1250000000/tdmq/orders/ for good');
  expect(refused.err).toContain('Nothing was deleted');
  expect(isRuleThere()).toBe(true);
  expect(keys()).toEqual(everything);

  expect(await cloud.ruleOnTerminal(DELETE, ['yes', 'orders-backup'])).toMatchObject({ code: 0 });
  expect(isRuleThere()).toBe(false);
  expect(keys()).toEqual([...FOREIGN].sort());
});

test('Without a terminal it wants --yes', async () => {
  expect(await cloud.rule(...DELETE)).toMatchObject({ code: 2 });
  expect(isRuleThere()).toBe(true);
  expect(keys()).toEqual(everything);
});

test('A failure in the middle says how many were removed and what remains', async () => {
  cloud.cos.addFault({
    kind: 'delete',
    key: '_unreadable',
    times: 'always',
    action: { type: 'error', code: 'AccessDenied' },
  });
  const ran = await cloud.rule(...DELETE, '--yes');
  expect(ran.code).toBe(1);
  expect(ran.err).toContain('is deleted, but 4 of its 5 objects were removed, 1 remain');
  expect(ran.err).toContain('tdmq/orders/_unreadable/pulsar-abc/default/orders/');
  expect(ran.err).toContain('policies/remove-objects.json');
  expect(isRuleThere()).toBe(false);
  expect(keys()).toEqual([...FOREIGN, OWN[3]].sort());
});

test('Ctrl-C in the middle says how many were removed and what remains', async () => {
  const interrupt = new AbortController();
  cloud.cos.setOnRequest((kind) => {
    if (kind === 'delete') interrupt.abort(new Error('stopped by SIGINT'));
  });
  const ran = await cloud.ruleWith({ signal: interrupt.signal }, ...DELETE, '--yes');
  expect(ran.code).toBe(130);
  const [, removed, remain] = /(\d) of its 5 objects were removed, (\d) remain/.exec(ran.err) ?? [];
  expect(Number(removed) + Number(remain)).toBe(5);
  expect(ran.err).toContain('Remove what remains by hand, in archive-1250000000: tdmq/orders/pulsar-abc/');
});

test('Keys that may not list the objects are reported before anything is deleted', async () => {
  cloud.cos.addFault({ kind: 'list', times: 'always', action: { type: 'error', code: 'AccessDenied' } });
  const ran = await cloud.rule(...DELETE, '--yes');
  expect(ran.code).toBe(1);
  expect(ran.err).toContain('policies/remove-objects.json');
  expect(isRuleThere()).toBe(true);
  expect(keys()).toEqual(everything);
});

test('Nothing is removed when the function could not be deleted', async () => {
  cloud.api.fail({ action: 'scf:DeleteFunction', code: 'UnauthorizedOperation' });
  expect((await cloud.rule(...DELETE, '--yes')).code).toBe(1);
  expect(keys()).toEqual(everything);
});

test('Refused where another rule stores in the same folders', async () => {
  deployByHand(cloud, 'orders-again');
  const ran = await cloud.rule(...DELETE, '--yes');
  expect(ran.code).toBe(1);
  expect(ran.err).toContain('the rule orders-again stores in the same folders as orders-backup');
  expect(isRuleThere()).toBe(true);
  expect(keys()).toEqual(everything);
});
