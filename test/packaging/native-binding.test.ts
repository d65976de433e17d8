// Only a binding that loads on the runtime gets into the package.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { bindingFault, collectNative, type InstallClient } from '../../src/packaging/native-binding.ts';

const platform = { clientVersion: '1.14.0', glibc: '2.28', glibcxx: '3.4.25' };
const signal = new AbortController().signal;

function elf(machine: number, ...symbols: string[]): Buffer {
  const header = Buffer.alloc(64);
  header.writeUInt32BE(0x7f454c46, 0);
  header.writeUInt16LE(machine, 18);
  return Buffer.concat([header, Buffer.from(`\0${symbols.join('\0')}\0`, 'latin1')]);
}

const installing = (binding: Buffer | undefined, seen: string[] = []): InstallClient => {
  return async (folder, version) => {
    seen.push(version, folder);
    const write = (path: string, bytes: Buffer | string) => {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), bytes);
    };
    write('node_modules/pulsar-client/package.json', '{}');
    write('node_modules/@mapbox/node-pre-gyp/lib/main.js', '');
    if (binding) write('node_modules/pulsar-client/lib/binding/pulsar.node', binding);
  };
};

test.each([
  ['older symbols load', elf(0x3e, 'GLIBC_2.28', 'GLIBCXX_3.4.25'), undefined],
  ['a newer glibc does not', elf(0x3e, 'GLIBC_2.2.5', 'GLIBC_2.30'), /GLIBC 2\.30; the runtime has 2\.28/],
  ['a newer libstdc++ does not', elf(0x3e, 'GLIBCXX_3.4.26'), /GLIBCXX 3\.4\.26/],
  ['another processor does not', elf(0xb7), /not for linux-x64/],
  ['no ELF file does not', Buffer.from('MZ and so on, long enough to look at'), /not for linux-x64/],
])('of bindings, %s', (_, binding, fault) => {
  const reported = bindingFault(binding, platform);
  if (fault === undefined) expect(reported).toBeUndefined();
  else expect(reported).toMatch(fault);
});

test('--native packages the client of the version that loads on the runtime, and leaves nothing behind', async () => {
  const seen: string[] = [];
  const files = await collectNative('Nodejs18.15', signal, installing(elf(0x3e, 'GLIBC_2.17'), seen));
  expect(files.map(({ path }) => path).sort()).toEqual([
    'node_modules/@mapbox/node-pre-gyp/lib/main.js',
    'node_modules/pulsar-client/lib/binding/pulsar.node',
    'node_modules/pulsar-client/package.json',
  ]);
  expect(seen[0]).toBe('1.14.0');
  expect(existsSync(seen[1] as string)).toBe(false);
});

test.each([
  ['its install left no binding', installing(undefined)],
  ['GLIBC 2.34', installing(elf(0x3e, 'GLIBC_2.34'))],
  ['getaddrinfo ENOTFOUND', () => Promise.reject(new Error('getaddrinfo ENOTFOUND archive.apache.org'))],
])('--native that cannot be had fails and says why (%s) and what to do', async (reason, install) => {
  await expect(collectNative('Nodejs18.15', signal, install)).rejects.toMatchObject({
    code: 'rule',
    message: expect.stringContaining(reason),
    hint: expect.stringContaining('PULSAR_DRIVER=wire'),
  });
});

test('--native for a runtime that is not known names those that are', async () => {
  await expect(collectNative('Nodejs12.16', signal, installing(undefined))).rejects.toMatchObject({
    hint: expect.stringContaining('Nodejs18.15'),
  });
});
