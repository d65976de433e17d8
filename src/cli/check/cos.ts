// The part of `check` that asks COS: the bucket, its settings, and whether an object can be stored below the prefix.

import { randomUUID } from 'node:crypto';
import type { RuleConfig } from '../../config.ts';
import type { CosAdmin, LifecycleRule } from '../../cos/admin.ts';
import { type CosStore, createCosStore } from '../../cos/store.ts';
import { BackupError } from '../../errors.ts';
import { crc64 } from '../../lib/crc64.ts';
import type { CallOptions, Logger } from '../../ports.ts';
import { type CheckResult, fail, failed, ok, warn } from '../../rules/check-result.ts';
import { checkStorageClass } from './storage-class.ts';

/** Asks one thing after the other; ends early where the bucket cannot be reached. Leaves no object behind. */
export async function* checkBucket(
  { cos }: RuleConfig,
  logger: Logger,
  options: CallOptions & { readonly writes: boolean },
): AsyncGenerator<CheckResult> {
  const store = createCosStore(cos, { logger });
  try {
    const reached = await reachBucket(store.admin, cos, options);
    yield reached;
    if (reached.status === 'fail') return;
    if (cos.storageClass !== 'STANDARD') yield checkStorageClass(cos.storageClass);
    if (options.writes) yield await writeProbe(store, cos.prefix, options);
    yield await versioning(store.admin, options);
    yield* await lifecycle(store.admin, cos.prefix, options);
  } finally {
    await store.close();
  }
}

async function reachBucket(
  admin: CosAdmin,
  cos: RuleConfig['cos'],
  options: CallOptions,
): Promise<CheckResult> {
  const item = 'bucket';
  try {
    const { region } = await admin.headBucket(options);
    if (region !== undefined && region !== cos.region) {
      return fail(item, `${cos.bucket} is in ${region}, not in ${cos.region}`, `Set COS_REGION=${region}.`);
    }
    return ok(item, `${cos.bucket} in ${cos.region}`);
  } catch (error) {
    if (httpStatusOf(error) === 404) {
      return fail(
        item,
        `there is no bucket ${cos.bucket} in ${cos.region}`,
        'Correct COS_BUCKET (name-appid) and COS_REGION, or create the bucket.',
      );
    }
    // Who may only write below the prefix may not ask for the bucket; the probe will show it.
    return httpStatusOf(error) === 403
      ? warn(
          item,
          `these keys may not ask for ${cos.bucket}`,
          'Grant them policies/archive-user.json; a wrong bucket or region shows below.',
        )
      : failed(item, error);
  }
}

async function writeProbe(store: CosStore, prefix: string, options: CallOptions): Promise<CheckResult> {
  const item = 'prefix';
  const key = `${prefix}_runs/_check/${randomUUID()}.json`;
  const bytes = Buffer.from(`${JSON.stringify({ format: 'tdmq-backup-check/1' })}\n`);
  const body = { chunks: [bytes], sizeBytes: bytes.length };
  try {
    await store.create(key, body, crc64([bytes]), { metadata: {}, contentType: 'application/json' }, options);
  } catch (error) {
    return failed(item, error);
  }
  try {
    await store.admin.remove(key, options);
  } catch {
    return warn(
      item,
      `an object can be stored, but these keys may not remove the probe ${key}`,
      'Remove it by hand, and grant policies/archive-user.json; the function itself removes nothing.',
    );
  }
  return ok(item, `an object can be stored below ${prefix === '' ? 'the root' : prefix}`);
}

async function versioning(admin: CosAdmin, options: CallOptions): Promise<CheckResult> {
  const item = 'versioning';
  try {
    const state = await admin.getVersioning(options);
    if (state === 'never') return ok(item, 'never switched on');
    return warn(
      item,
      `it is ${state}, and then COS ignores the refusal to overwrite; every file costs one more request`,
      'Nothing is overwritten anyway. A bucket that never had versioning is safer and cheaper.',
    );
  } catch (error) {
    return failed(item, error, 'warn');
  }
}

async function lifecycle(admin: CosAdmin, prefix: string, options: CallOptions): Promise<CheckResult[]> {
  const item = 'lifecycle';
  let rules: readonly LifecycleRule[];
  try {
    rules = (await admin.getLifecycle(options)).filter(({ isEnabled }) => isEnabled);
  } catch (error) {
    return [failed(item, error, 'warn')];
  }
  const aborting = rules.find(
    (rule) => rule.abortUploadsAfterDays !== undefined && prefix.startsWith(rule.prefix),
  );
  const expiring = rules.find(
    (rule) =>
      rule.expireAfterDays !== undefined &&
      (prefix.startsWith(rule.prefix) || rule.prefix.startsWith(prefix)),
  );
  const findings: CheckResult[] = [
    aborting === undefined
      ? warn(
          item,
          'no rule removes the parts of unfinished uploads; a killed run can leave some, and they cost money',
          'Add a lifecycle rule to the bucket that deletes incomplete multipart uploads after a day.',
        )
      : ok(item, `unfinished uploads are removed after ${aborting.abortUploadsAfterDays} day(s)`),
  ];
  if (expiring !== undefined) {
    findings.push(
      warn(
        'expiry',
        `lifecycle rule ${expiring.id || '(unnamed)'} deletes objects of this archive after ${expiring.expireAfterDays} day(s)`,
        'Keep it only if the archive is meant to forget.',
      ),
    );
  }
  return findings;
}

/** The HTTP status that COS answered with, where it did. */
function httpStatusOf(error: unknown): number | undefined {
  const status = error instanceof BackupError ? error.details['status'] : undefined;
  return typeof status === 'number' ? status : undefined;
}
