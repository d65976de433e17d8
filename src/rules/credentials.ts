// Where API keys and the region come from: the environment, the Tencent CLI's profile, the role of a CVM. Never the
// command line, and nothing here prints them.
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Credentials } from '../config.ts';
import { BackupError } from '../errors.ts';
import { Secret } from '../lib/secret.ts';
import type { Environment } from '../read-settings.ts';
import { REGIONS } from '../settings.ts';

export interface CredentialsQuery {
  readonly env: Environment;
  /** A profile of the Tencent CLI (tccli); given, it goes before the environment. */
  readonly profile?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface FoundCredentials {
  readonly credentials: Credentials;
  /** For a person: `the environment`, `profile default`, `CVM role x`. */
  readonly origin: string;
}

const METADATA = 'http://metadata.tencentyun.com/latest/meta-data/cam/security-credentials/';
const METADATA_TIMEOUT_MS = 2_000;

/** The first API keys found. @throws BackupError `config` that names every place looked at */
export async function findCredentials(query: CredentialsQuery): Promise<FoundCredentials> {
  const { env, profile } = query;
  const found =
    profile === undefined
      ? (fromEnvironment(env) ?? (await fromProfile(env, profileName(query))) ?? (await fromCvmRole(query)))
      : await fromProfile(env, profile);
  if (found !== undefined) return found;
  throw new BackupError('config', 'no API keys found', {
    hint:
      profile === undefined
        ? 'Set TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY (and TENCENTCLOUD_TOKEN for temporary keys), or run `tccli configure`, or work on a CVM that has a role.'
        : `Run \`tccli configure --profile ${profile}\`, or name another profile.`,
  });
}

/** The region asked for, of the environment, or of the profile. @throws BackupError `config` */
export async function findRegion(
  query: CredentialsQuery & { readonly region?: string | undefined },
): Promise<string> {
  const { env } = query;
  const configured = async () => {
    const { _sys_param: settings } = (await readProfileFile(env, profileName(query), 'configure')) ?? {};
    return (settings as { region?: unknown } | undefined)?.region;
  };
  const region =
    query.region ?? (env['TENCENTCLOUD_REGION'] || env['COS_REGION'] || undefined) ?? (await configured());
  if (typeof region === 'string' && (REGIONS as readonly string[]).includes(region)) return region;
  throw new BackupError(
    'config',
    region === undefined
      ? 'no region given'
      : `${JSON.stringify(region)} is no region that rules can live in`,
    { hint: `Pass --region or set TENCENTCLOUD_REGION to one of ${REGIONS.join(', ')}.` },
  );
}

const profileName = ({ env, profile }: CredentialsQuery) => profile ?? (env['TCCLI_PROFILE'] || 'default');

function fromEnvironment(env: Environment): FoundCredentials | undefined {
  const secretId = env['TENCENTCLOUD_SECRET_ID'] || env['TENCENTCLOUD_SECRETID'];
  const secretKey = env['TENCENTCLOUD_SECRET_KEY'] || env['TENCENTCLOUD_SECRETKEY'];
  const token =
    env['TENCENTCLOUD_TOKEN'] || env['TENCENTCLOUD_SESSION_TOKEN'] || env['TENCENTCLOUD_SESSIONTOKEN'];
  return keys(secretId, secretKey, token, 'the environment');
}

async function fromProfile(env: Environment, profile: string): Promise<FoundCredentials | undefined> {
  const file = await readProfileFile(env, profile, 'credential');
  return keys(file?.['secretId'], file?.['secretKey'], file?.['token'], `profile ${profile}`);
}

async function readProfileFile(
  env: Environment,
  profile: string,
  kind: 'credential' | 'configure',
): Promise<Record<string, unknown> | undefined> {
  const path = join(env['HOME'] || homedir(), '.tccli', `${profile}.${kind}`);
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    // The parser's own message could quote the file, and with it a key.
    throw new BackupError('config', `${path} is not valid JSON`, {
      hint: `Write it again with \`tccli configure --profile ${profile}\`.`,
    });
  }
}

/** What a CVM reads of its role; elsewhere the name does not resolve. */
async function fromCvmRole({ env, signal }: CredentialsQuery): Promise<FoundCredentials | undefined> {
  const base = env['TENCENTCLOUD_METADATA_URL'] || METADATA;
  const get = async (url: string) => {
    const timeout = AbortSignal.timeout(METADATA_TIMEOUT_MS);
    const response = await fetch(url, {
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
    });
    return response.ok ? await response.text() : undefined;
  };
  try {
    const role = (await get(base))?.trim();
    const text = role ? await get(base + encodeURIComponent(role)) : undefined;
    const answer = JSON.parse(text ?? '{}') as Record<string, unknown>;
    return keys(answer['TmpSecretId'], answer['TmpSecretKey'], answer['Token'], `CVM role ${role}`);
  } catch {
    return undefined;
  }
}

function keys(
  secretId: unknown,
  secretKey: unknown,
  token: unknown,
  origin: string,
): FoundCredentials | undefined {
  if (typeof secretId !== 'string' || typeof secretKey !== 'string' || !secretId || !secretKey)
    return undefined;
  const sessionToken = typeof token === 'string' && token !== '' ? new Secret(token) : undefined;
  return { credentials: { secretId, secretKey: new Secret(secretKey), sessionToken }, origin };
}
