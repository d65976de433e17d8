// The script that says whether CI passed. It must never say so of a run in which something did not run.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'count-tests-'));
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
function report(statuses: string[], rest: object = {}): string {
  const path = join(folder, `report-${files++}.json`);
  const assertionResults = statuses.map((status, index) => ({ status, fullName: `test ${index}` }));
  const status = statuses.includes('failed') ? 'failed' : 'passed';
  const testResults = [{ name: 'a.test.ts', status, message: '', assertionResults, ...rest }];
  writeFileSync(path, JSON.stringify({ success: status === 'passed', testResults, ...rest }));
  return path;
}

function count(...paths: string[]) {
  const script = join(import.meta.dirname, '..', '.ci', 'count-tests.mjs');
  const { stdout, status } = spawnSync(process.execPath, [script, ...paths], { encoding: 'utf8' });
  return { line: stdout.trimEnd().split('\n').at(-1), status };
}

describe('the count of tests in CI', () => {
  it('adds up the reports', () => {
    expect(count(report(['passed', 'passed']), report(['passed']))).toEqual({
      line: '3 passed, 0 failed',
      status: 0,
    });
  });

  it.each(['failed', 'skipped', 'pending', 'todo'])('takes a %s test for a failure', (status) => {
    expect(count(report(['passed', status]))).toEqual({ line: '1 passed, 1 failed', status: 1 });
  });

  it('takes a missing, a broken and an empty report for a failure', () => {
    const broken = join(folder, 'broken.json');
    writeFileSync(broken, '{"testResults": [');
    for (const bad of [join(folder, 'missing.json'), broken, report([])]) {
      expect(count(report(['passed']), bad)).toEqual({ line: '1 passed, 1 failed', status: 1 });
    }
  });

  it('takes a file that did not load, and an error outside the tests, for a failure', () => {
    expect(count(report(['passed'], { status: 'failed', message: 'SyntaxError' })).status).toBe(1);
    expect(count(report(['passed'], { success: false })).line).toBe('1 passed, 1 failed');
  });
});
