import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

// CI counts the tests in a report of vitest's own.
const report = process.env['TEST_REPORT'];

export default defineConfig({
  test: {
    pool: 'forks',
    // Most tests wait for a time-out or an answer, so more files than cores run side by side.
    maxWorkers: Math.max(8, availableParallelism()),
    hookTimeout: 30_000,
    reporters: report ? ['default', ['json', { outputFile: report }]] : ['default'],
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/integration/**', 'test/bench/**', 'test/faults/**'],
          // None takes as long on a machine of its own.
          testTimeout: 20_000,
        },
      },
      {
        extends: true,
        test: { name: 'faults', include: ['test/faults/**/*.test.ts'], testTimeout: 40_000 },
      },
      {
        extends: true,
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
