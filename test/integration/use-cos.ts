// One loopback COS with one bucket for the tests of a file, and the environment of a rule that backs up to it.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { type LoopbackCos, startLoopbackCos } from '../../src/local/cos/server.ts';

export const BUCKET = 'archive-1250000000';
const REGION = 'ap-guangzhou';
/** Long enough that the log would redact them, and found in no other text. */
export const SECRETS = {
  secretId: 'AKIDintegrationtestsecretid00000000',
  secretKey: 'integrationtestsecretkey00000000',
  sessionToken: 'integration-test-session-token-0000',
};

/**
 * Call it at the top of a file; inside the tests, the function it answers gives the server. Faults end with a test.
 * `clock`: its time.
 */
export function useCos(options: { readonly clock?: () => number } = {}): () => LoopbackCos {
  let cos: LoopbackCos | undefined;
  let dir: string | undefined;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'tdmq-backup-cos-'));
    const buckets = [{ name: BUCKET, region: REGION }];
    cos = await startLoopbackCos({ ...options, dir, buckets, credentials: SECRETS });
  });
  afterEach(() => cos?.clearFaults());
  afterAll(async () => {
    await cos?.close();
    if (dir !== undefined) await rm(dir, { recursive: true, force: true });
  });
  return () => {
    if (cos === undefined) throw new Error('the loopback COS is there only inside tests');
    return cos;
  };
}

/** The prefix under which a topic's rule stores: one for each topic, so that tests share a bucket. */
export const prefixOf = (topic: string) => `backup/${topic.split('/').at(-1)}/`;

/** The function's environment, as SCF would set it: the rule's variables and the run role's keys. */
export function ruleEnv(
  cos: Pick<LoopbackCos, 'url'>,
  serviceUrl: string,
  topic: string,
  rest: Readonly<Record<string, string>> = {},
): Record<string, string> {
  return {
    SCF_FUNCTIONNAME: 'backup',
    TENCENTCLOUD_REGION: REGION,
    TENCENTCLOUD_SECRETID: SECRETS.secretId,
    TENCENTCLOUD_SECRETKEY: SECRETS.secretKey,
    TENCENTCLOUD_SESSIONTOKEN: SECRETS.sessionToken,
    PULSAR_SERVICE_URL: serviceUrl,
    PULSAR_TOPIC: topic,
    PULSAR_SUBSCRIPTION: 'backup',
    COS_BUCKET: BUCKET,
    COS_PREFIX: prefixOf(topic),
    COS_ENDPOINT: cos.url,
    ...rest,
  };
}
