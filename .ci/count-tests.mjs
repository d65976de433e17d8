// Usage: count-tests.mjs REPORT…  Counts the tests in vitest's JSON reports and ends with `N passed, N failed`.
// A skipped test is a failed one, and so is a report that is missing, broken or empty, or a file that did not load.
import { readFileSync } from 'node:fs';

let passed = 0;
let failed = 0;

function fail(what) {
  failed += 1;
  console.log(`failed: ${what}`);
}

for (const path of process.argv.slice(2)) {
  let report;
  try {
    report = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    fail(`no report: ${error.message}`);
    continue;
  }
  const failedBefore = failed;
  let tests = 0;
  for (const file of report.testResults ?? []) {
    const failedInFile = failed;
    for (const test of file.assertionResults ?? []) {
      tests += 1;
      if (test.status === 'passed') passed += 1;
      else fail(`${test.status}: ${file.name}: ${test.fullName}`);
    }
    if (file.status !== 'passed' && failed === failedInFile) fail(`${file.name}: ${file.message}`);
  }
  if (tests === 0) fail(`no tests in ${path}`);
  if (report.success !== true && failed === failedBefore)
    fail(`the run of ${path} had errors outside its tests`);
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
