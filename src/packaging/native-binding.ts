// Fetches pulsar-client with the binding that loads on SCF's Linux, whatever machine packages it. Refuses a binding
// that needs a newer C library than the runtime has, which would otherwise fail only at the first invocation.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BackupError, messageOf } from '../errors.ts';
import { collectFolder, type PackageFile } from './function-package.ts';

/** What a binding may ask of the system it is loaded on. */
interface Platform {
  readonly clientVersion: string;
  readonly glibc: string;
  readonly glibcxx: string;
}

// SCF runs these on CentOS 8.5 (glibc 2.28, GLIBCXX 3.4.25). Bindings from 1.15.0 on need glibc 2.30.
const CENTOS_8: Platform = { clientVersion: '1.14.0', glibc: '2.28', glibcxx: '3.4.25' };

/** SCF's runtimes that can run the function, and the newest pulsar-client whose binding loads there. */
export const NATIVE_PLATFORMS: Readonly<Record<string, Platform>> = {
  'Nodejs18.15': CENTOS_8,
  'Nodejs20.19': CENTOS_8,
};

const BINDING = 'node_modules/pulsar-client/lib/binding/pulsar.node';

/** Puts pulsar-client of that version, with its linux-x64 binding, below `folder`/node_modules. */
export type InstallClient = (folder: string, version: string, signal: AbortSignal) => Promise<void>;

/**
 * pulsar-client and what it needs at run time, as files of the package.
 * @throws BackupError `rule` where the runtime is unknown, the binding cannot be fetched, or it would not load
 */
export async function collectNative(
  runtime: string,
  signal: AbortSignal,
  install: InstallClient = installFromRegistry,
): Promise<PackageFile[]> {
  const platform = NATIVE_PLATFORMS[runtime];
  if (platform === undefined) {
    throw new BackupError('rule', `no pulsar-client binding is known for runtime ${runtime}`, {
      hint: `Choose one of ${Object.keys(NATIVE_PLATFORMS).join(', ')}.`,
    });
  }
  const folder = mkdtempSync(join(tmpdir(), 'tdmq-backup-native-'));
  try {
    await install(folder, platform.clientVersion, signal);
    const fault = bindingFault(readBinding(join(folder, BINDING)), platform);
    if (fault !== undefined) throw new Error(fault);
    return collectFolder(join(folder, 'node_modules'), 'node_modules/');
  } catch (cause) {
    throw new BackupError(
      'rule',
      `pulsar-client ${platform.clientVersion} for ${runtime} is not available here: ${messageOf(cause)}`,
      {
        hint: 'Package where archive.apache.org can be reached, or leave out --native: PULSAR_DRIVER=wire, the default, needs no binding.',
        cause,
      },
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function readBinding(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new Error('its install left no binding', { cause });
  }
}

/** Why this binding would not load on the platform; `undefined` if it would, as far as its symbols show. */
export function bindingFault(binding: Uint8Array, platform: Platform): string | undefined {
  const bytes = Buffer.from(binding.buffer, binding.byteOffset, binding.byteLength);
  const isElf = bytes.length > 20 && bytes.readUInt32BE(0) === 0x7f454c46;
  if (!isElf || bytes.readUInt16LE(18) !== 0x3e) return 'its binding is not for linux-x64';
  const text = bytes.toString('latin1');
  for (const [name, newest] of [
    ['GLIBC', platform.glibc],
    ['GLIBCXX', platform.glibcxx],
  ] as const) {
    for (const [, needed = ''] of text.matchAll(new RegExp(`\\b${name}_(\\d+(?:\\.\\d+)*)`, 'g'))) {
      if (compareVersions(needed, newest) > 0)
        return `its binding needs ${name} ${needed}; the runtime has ${newest}`;
    }
  }
  return undefined;
}

function compareVersions(a: string, b: string): number {
  const [left, right] = [a.split('.').map(Number), b.split('.').map(Number)];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** npm for the packages; then the client's own downloader for the binding, with the platform that it is for. */
const installFromRegistry: InstallClient = async (folder, version, signal) => {
  writeFileSync(join(folder, 'package.json'), '{"private":true}\n');
  const client = join(folder, 'node_modules/pulsar-client');
  const downloader = join(folder, 'node_modules/@mapbox/node-pre-gyp/bin/node-pre-gyp');
  const target = ['--target_platform=linux', '--target_arch=x64', '--target_libc=glibc'];
  await runProgram(
    'npm',
    ['install', `pulsar-client@${version}`, '--ignore-scripts', '--no-audit', '--no-fund'],
    folder,
    signal,
  );
  await runProgram(process.execPath, [downloader, 'install', ...target], client, signal);
  await runProgram(process.execPath, ['GenCertFile.js'], client, signal);
};

function runProgram(
  program: string,
  args: readonly string[],
  cwd: string,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd,
      signal,
      timeout: 300_000,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors = (errors + text).slice(-4_000);
    });
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) return resolve();
      const reason = errors.split('\n').filter((line) => /ERR|error/i.test(line))[0] ?? `exit code ${code}`;
      reject(new Error(reason.trim()));
    });
  });
}
