// A real browser for tests: Chromium or Chrome as the machine has it, without a window. A test fails where there is none.
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** Nothing but what a test asks for: no updates, no look-ups, no window. */
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Starts it. @throws Error that says how to get one */
export async function startBrowser(): Promise<Browser> {
  return await chromium.launch({ executablePath: findBrowser(), args: FLAGS });
}

function findBrowser(): string {
  const named = process.env['CHROME_PATH'];
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const paths = [
    ...(named ? [named] : []),
    ...NAMES.flatMap((name) => folders.map((folder) => join(folder, name))),
  ];
  const found = paths.find(isProgram);
  if (found !== undefined) return found;
  throw new Error(
    'There is no browser. Install one (apt-get install --no-install-recommends chromium), or name its program in CHROME_PATH.',
  );
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
