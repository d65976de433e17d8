// The zip: reproducible, with the modes SCF needs. Read back by hand, not with the library that wrote it.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inflateRawSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { collectFunction, type PackageFile, zipFunction } from '../../src/packaging/function-package.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'tdmq-backup-test-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

interface ZipEntry {
  readonly name: string;
  readonly mode: string;
  readonly time: number;
  readonly text: string;
}

/** Reads the central directory (PKWARE APPNOTE 4.3.12). */
function readZip(zip: Uint8Array): ZipEntry[] {
  const bytes = Buffer.from(zip);
  const end = bytes.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
  const entries: ZipEntry[] = [];
  let at = bytes.readUInt32LE(end + 16);
  for (let i = 0; i < bytes.readUInt16LE(end + 10); i++) {
    const nameLength = bytes.readUInt16LE(at + 28);
    const local = bytes.readUInt32LE(at + 42);
    const data = local + 30 + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28);
    const packed = bytes.subarray(data, data + bytes.readUInt32LE(at + 20));
    expect(bytes[at + 5]).toBe(3);
    entries.push({
      name: bytes.toString('utf8', at + 46, at + 46 + nameLength),
      mode: (bytes.readUInt32LE(at + 38) >>> 16).toString(8),
      time: bytes.readUInt32LE(at + 12),
      text: (bytes.readUInt16LE(at + 10) === 8 ? inflateRawSync(packed) : packed).toString(),
    });
    at += 46 + nameLength + bytes.readUInt16LE(at + 30) + bytes.readUInt16LE(at + 32);
  }
  return entries;
}

const file = (path: string, text: string, mode: 0o644 | 0o755 = 0o644): PackageFile => ({
  path,
  mode,
  bytes: Buffer.from(text),
});

test('the zip holds every file with its content and its mode, sorted by name', () => {
  const entries = readZip(zipFunction([file('index.js', 'x'.repeat(500)), file('bootstrap', '#!', 0o755)]));
  expect(entries.map(({ name, mode, text }) => [name, mode, text])).toEqual([
    ['bootstrap', '100755', '#!'],
    ['index.js', '100644', 'x'.repeat(500)],
  ]);
});

test('the same files give the same bytes, in any order and in any time zone', () => {
  const files = [file('a.js', 'one'), file('b.js', 'two'), file('c', 'three', 0o755)];
  const zone = process.env['TZ'];
  const zips = ['UTC', 'Asia/Shanghai', 'America/New_York'].map((name, i) => {
    process.env['TZ'] = name;
    return Buffer.from(zipFunction([...files.slice(i), ...files.slice(0, i)])).toString('hex');
  });
  if (zone === undefined) delete process.env['TZ'];
  else process.env['TZ'] = zone;
  expect(new Set(zips).size).toBe(1);
});

test('the package is the bundle and the start script under both names, executable and with LF', () => {
  mkdirSync(join(root, 'dist/function'), { recursive: true });
  for (const name of ['index.js', 'bootstrap.js', 'zstd.wasm', 'package.json'])
    writeFileSync(join(root, 'dist/function', name), name);
  writeFileSync(join(root, 'scf_bootstrap'), '#!/bin/bash\r\nexec node bootstrap.js\r\n');
  expect(
    readZip(zipFunction(collectFunction(root))).map(({ name, mode, text }) => [name, mode, text]),
  ).toEqual([
    ['bootstrap', '100755', '#!/bin/bash\nexec node bootstrap.js\n'],
    ['bootstrap.js', '100644', 'bootstrap.js'],
    ['index.js', '100644', 'index.js'],
    ['package.json', '100644', 'package.json'],
    ['scf_bootstrap', '100755', '#!/bin/bash\nexec node bootstrap.js\n'],
    ['zstd.wasm', '100644', 'zstd.wasm'],
  ]);
});

test('without a bundle, packaging says how to make one', () => {
  expect(() => collectFunction(root)).toThrow(
    expect.objectContaining({ code: 'rule', hint: expect.stringContaining('npm run build') }),
  );
});
