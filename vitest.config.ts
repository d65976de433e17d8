import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/longest-first.ts';

// CI counts the tests in a report of vitest's own.
const report = process.env['TEST_REPORT'];

export default defineConfig({
  test: {
    pool: 'forks',
    // Many tests wait for a time-out or an answer, so more files than cores run side by side. Each process loads the
    // product anew, and no test is to wait long for its turn.
    maxWorkers: Math.max(7, availableParallelism()),
    // Files that share a process load what they test once.
    isolate: false,
    // Threads that help V8 take their time from other processes, and most code of a test is not worth to be optimised.
    execArgv: ['--single-threaded-gc', '--max-semi-space-size=32', '--interrupt-budget=400000'],
    sequence: { sequencer: LongestFirst },
    tags: [
      { name: 'faults', description: 'breaks COS, Pulsar or the clock below a whole run', timeout: 120_000 },
    ],
    setupFiles: ['test/setup.ts'],
    // Time-outs find what hangs: none takes a tenth as long, unless others need the machine.
    hookTimeout: 60_000,
    expect: { poll: { timeout: 20_000 } },
    reporters: report ? ['default', ['json', { outputFile: report }]] : ['default'],
    projects: [
      {
        extends: true,
        test: {
          // With test/faults: a project of their own would start processes that load the product once more.
          name: 'unit',
          globalSetup: ['test/temporary-folder.ts'],
          include: ['test/**/*.test.ts'],
          exclude: ['test/integration/**', 'test/bench/**'],
          testTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          isolate: true,
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
