// V8's young memory, in a process of its own: it stops growing, while whatever lives on is kept.
import { execFileSync } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';

const MODULE = pathToFileURL(new URL('../../src/lib/young-space.ts', import.meta.url).pathname).href;

/** How many MB of young memory a process has that makes much garbage. */
function youngMegabytes(before: string): number {
  const program = `
    import { getHeapSpaceStatistics } from 'node:v8';
    ${before}
    const kept = [];
    for (let i = 0; i < 400; i++) {
      for (let n = 0; n < 5_000; n++) kept[n] = { text: 'x' + n + i, at: [n, i] };
      await new Promise((resolve) => setTimeout(resolve));
    }
    console.log(getHeapSpaceStatistics().find((one) => one.space_name === 'new_space').space_size / 2 ** 20);`;
  const args = ['--import', 'tsx', '--input-type=module', '-e', program];
  return Number(execFileSync(process.execPath, args, { encoding: 'utf8' }));
}

it('stops growing at some megabytes, where it would go on', () => {
  expect(youngMegabytes('')).toBeGreaterThan(16);
  const limit = `const { keepYoungSpaceSmall } = await import('${MODULE}'); keepYoungSpaceSmall();`;
  expect(youngMegabytes(limit)).toBeLessThanOrEqual(16);
});
