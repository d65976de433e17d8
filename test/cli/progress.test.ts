// Progress at a terminal: it is taken away before anything else is written, and says how long the rest takes.
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { bar, startProgress, timeLeft } from '../../src/cli/terminal/progress.ts';
import { safeOutput } from '../../src/cli/terminal/safe-output.ts';

const CLEAR = '\r\u001b[2K';

function fakeStream(isTTY: boolean, columns?: number) {
  const stream = Object.assign(new PassThrough(), { isTTY, ...(columns === undefined ? {} : { columns }) });
  let text = '';
  stream.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  return { stream, text: () => text };
}

test('is one line, no longer than the terminal, and can be taken away', () => {
  const { stream, text } = fakeStream(true, 10);
  const progress = startProgress(safeOutput(stream));
  progress.clear();
  expect(text()).toBe('');
  progress.update('0123456789abc');
  expect(text()).toBe(`${CLEAR}012345678`);
  progress.update('too soon after it');
  progress.clear();
  progress.clear();
  expect(text()).toBe(`${CLEAR}012345678${CLEAR}`);
});

test('takes 80 columns where the terminal reports none', () => {
  const { stream, text } = fakeStream(true, 0);
  startProgress(safeOutput(stream)).update('x'.repeat(100));
  expect(text()).toBe(`${CLEAR}${'x'.repeat(79)}`);
});

test('writes nothing into a pipe', () => {
  const { stream, text } = fakeStream(false);
  const progress = startProgress(safeOutput(stream));
  progress.update('half');
  progress.clear();
  expect(text()).toBe('');
});

test('reports how long the rest takes, once that can be said', () => {
  expect(timeLeft(0.5, 10_000)).toBe('10 s left');
  expect(timeLeft(0.25, 60_000)).toBe('3 min left');
  expect(timeLeft(0.1, 3_600_000)).toBe('9.0 h left');
  for (const [share, tookMs] of [
    [0, 10_000],
    [0.005, 10_000],
    [0.5, 1_000],
    [1, 10_000],
  ] as const)
    expect(timeLeft(share, tookMs)).toBe('');
  expect(bar(0.5)).toBe(`${'█'.repeat(10)}${'░'.repeat(10)}`);
});
