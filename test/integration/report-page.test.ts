// The page of an archive in a real browser: what a person sees of it, and that it asks nobody for anything.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readCatalog } from '../../src/archive/catalog/read-catalog.ts';
import { createReportPage } from '../../src/archive/report/page.ts';
import type { Message } from '../../src/ports.ts';
import { messages, PREFIX, storeManifest, storeObject } from '../archive/archive-fixture.ts';
import { createMemoryStore, type MemoryStore } from '../fakes/memory-store.ts';
import { startBrowser } from './browser.ts';

const DAY_MS = 86_400_000;
const PARTITIONS = 3;
const DAYS = 6;

/** Not awaited at once: where there is none, each test fails and says how to get one. */
let browser: Promise<Browser>;
let folder: string;
let html: string;

/** Partition 1 has lost a file of day 2, and partition 2 has a hole in its entry ids on day 4; all rest on day 3. */
async function makePage(): Promise<string> {
  const store = createMemoryStore();
  const stored = [];
  for (let partition = 0; partition < PARTITIONS; partition++) {
    let entryId = 0;
    for (let day = 0; day < DAYS; day++) {
      if (day === 3) continue;
      for (const hour of [1, 9, 17]) {
        if (partition === 2 && day === 4 && hour === 9) entryId += 500;
        const count = 20 + partition * 5 + day * 4;
        const at = day * DAY_MS + hour * 3_600_000;
        const own = messages(partition, entryId, entryId + count - 1).map(
          (one, i): Message => ({
            ...one,
            publishTimeMs: Date.UTC(2026, 10, 17) + at + i * 60_000,
            payload: Buffer.alloc(hour === 17 ? 8_000 : 200, 'x'),
          }),
        );
        stored.push(await storeObject(store, own));
        entryId += count;
      }
    }
  }
  await storeManifest(store, stored);
  store.objects.delete(stored.find(({ key }) => /date=2026-11-19\/partition=1/.test(key))?.key as string);
  return pageOf(store);
}

async function pageOf(store: MemoryStore): Promise<string> {
  const catalog = await readCatalog(store, PREFIX);
  const report = createReportPage(PREFIX);
  for (const object of catalog.objects) report.add(object);
  return report.page(catalog, 'archive-1250000000/tdmq/', new Date(Date.UTC(2026, 10, 24)));
}

async function makePageOfManyDays(): Promise<string> {
  const store = createMemoryStore();
  for (let day = 0; day < 120; day++) {
    const publishTimeMs = Date.UTC(2026, 5, 1) + day * DAY_MS;
    await storeObject(
      store,
      messages(0, day, day).map((one) => ({ ...one, publishTimeMs })),
    );
  }
  return pageOf(store);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tdmq-backup-page-'));
  html = await makePage();
  await writeFile(join(folder, 'page.html'), html);
  await writeFile(join(folder, 'many-days.html'), await makePageOfManyDays());
  browser = startBrowser();
  browser.catch(() => undefined);
});
afterAll(async () => {
  await browser.then(
    (one) => one.close(),
    () => undefined,
  );
  await rm(folder, { recursive: true, force: true });
});

interface Opened {
  readonly page: Page;
  /** What it asked for besides itself, and what it complained of. */
  readonly requests: string[];
  readonly complaints: string[];
}

async function open(options: { url?: string; width?: number; dark?: boolean } = {}): Promise<Opened> {
  const { url = `file://${join(folder, 'page.html')}`, width = 1_200, dark = false } = options;
  const page = await (await browser).newPage({
    viewport: { width, height: 900 },
    colorScheme: dark ? 'dark' : 'light',
  });
  const requests: string[] = [];
  const complaints: string[] = [];
  page.on('request', (request) => {
    if (request.url() !== url) requests.push(request.url());
  });
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  await page.goto(url);
  return { page, requests, complaints };
}

const chart = (page: Page, title: string): Locator => page.locator(`svg[aria-label^="${title}"]`);

/** Where it stands, and how large; fails where a person would not see it. */
async function boxOf(locator: Locator) {
  expect(await locator.isVisible(), String(locator)).toBe(true);
  const box = await locator.boundingBox();
  expect(box?.width, String(locator)).toBeGreaterThan(0.5);
  expect(box?.height, String(locator)).toBeGreaterThan(0.5);
  return box as NonNullable<typeof box>;
}

const boxesOf = async (locator: Locator) => Promise.all((await locator.all()).map(boxOf));

describe('what a person sees of it', () => {
  let page: Page;
  beforeEach(async () => {
    page ??= (await open()).page;
  });

  it('the numbers of the archive, and in red what is missing', async () => {
    const tiles = page.locator('.tile');
    expect(await tiles.allInnerTexts()).toEqual([
      expect.stringMatching(/^1,\d{3}\nmessages$/),
      expect.stringMatching(/^[\d.]+ MB\nstored$/),
      '44\nfiles',
      '5\ndays with data',
      '2\ngaps in entry ids',
      '1\nfiles missing',
    ]);
    const colours = await ofAll<string>(tiles.locator('b'), 'getComputedStyle(one).color');
    expect(new Set(colours.slice(0, 4)).size).toBe(1);
    expect(colours[4]).not.toBe(colours[0]);
    await boxesOf(tiles);
  });

  it('for each partition the days with data, the day without, and the days with something missing', async () => {
    const days = chart(page, 'Days with data');
    expect(await days.locator('.full').count()).toBe(PARTITIONS * (DAYS - 1));
    expect(await days.locator('.empty').count()).toBe(PARTITIONS);
    const cells = await boxesOf(days.locator('.cell'));
    expect(new Set(cells.map(({ y }) => Math.round(y / 5))).size).toBe(PARTITIONS);
    expect(new Set(cells.map(({ x }) => Math.round(x / 5))).size).toBe(DAYS);
    // The stronger the colour, the more: partition 0 has its least on the first day, partition 2 its most on the last.
    const strengths = await ofAll<number>(days.locator('.full'), 'Number(getComputedStyle(one).fillOpacity)');
    expect(strengths[0]).toBe(Math.min(...strengths));
    expect(strengths.at(-1)).toBe(Math.max(...strengths));
    const torn = await days.locator('g:has(.torn) > title').allTextContents();
    // The lost file was the first of its day: from the last message before it to the first one after.
    expect(torn).toEqual([
      expect.stringMatching(/^2026-11-18, partition 1: \d+ messages in 3 files, with a gap$/),
      expect.stringMatching(/^2026-11-19, partition 1: \d+ messages in 2 files, with a gap$/),
      expect.stringMatching(/^2026-11-21, partition 2: \d+ messages in 3 files, with a gap$/),
    ]);
  });

  it('a time line of each partition, its bars inside it, and its gaps where they were', async () => {
    const lanes = chart(page, 'Messages over time').locator('g[data-partition]');
    expect(await lanes.count()).toBe(PARTITIONS);
    for (const [partition, lane] of (await lanes.all()).entries()) {
      const back = await boxOf(lane.locator('.lane'));
      const bars = await boxesOf(lane.locator('.messages'));
      expect(bars.length).toBeGreaterThan(10);
      for (const bar of bars) {
        expect(bar.x).toBeGreaterThanOrEqual(back.x - 1);
        expect(bar.x + bar.width).toBeLessThanOrEqual(back.x + back.width + 1);
        expect(bar.y + bar.height).toBeLessThanOrEqual(back.y + back.height + 1);
      }
      const kinds = await ofAll<string>(lane.locator('.gap'), "one.getAttribute('data-kind')");
      expect(kinds.toSorted()).toEqual([[], ['gap', 'missing'], ['gap']][partition]);
      const gaps = await boxesOf(lane.locator('.gap'));
      const share = ({ x }: { x: number }) => (x - back.x) / back.width;
      if (partition === 2) {
        expect(share(gaps[0] as { x: number })).toBeGreaterThan(4 / DAYS - 0.03);
        expect(share(gaps[0] as { x: number })).toBeLessThan(4.5 / DAYS);
      }
      const texts = await lane.locator('.gap title').allTextContents();
      expect(texts.join(' ')).toContain(['', 'is missing, with', '500 entries'][partition]);
    }
  });

  it('how many bytes there are over time, with a scale', async () => {
    const bytes = chart(page, 'Bytes over time');
    expect((await boxesOf(bytes.locator('.bytes'))).length).toBeGreaterThan(10);
    expect(await bytes.locator('text').allTextContents()).toEqual(
      expect.arrayContaining([expect.stringMatching(/^[\d.]+ kB$/), '0', 'Nov 18', 'Nov 20', 'Nov 22']),
    );
  });

  it('how large the files are', async () => {
    const sizes = chart(page, 'Sizes of files');
    const widths = await ofAll<number>(sizes.locator('.files'), 'one.getBoundingClientRect().width');
    const counts = (await sizes.locator('.count').allTextContents()).map(Number);
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(44);
    expect(counts.length).toBeGreaterThan(1);
    const drawn = widths.filter((width) => width > 0);
    expect(drawn).toHaveLength(counts.length);
    for (const [i, width] of drawn.entries())
      expect(width / Math.max(...drawn)).toBeCloseTo((counts[i] as number) / Math.max(...counts), 1);
    expect(await page.locator('figcaption').last().textContent()).toMatch(
      /Sizes of files.*smallest [\d.]+ kB, median [\d.]+ kB, largest [\d.]+ kB/s,
    );
  });

  it('the findings by name, and a row for each partition', async () => {
    expect(await page.locator('li.damage').textContent()).toMatch(/missing.*date=2026-11-19\/partition=1/s);
    expect(await page.locator('tbody tr').count()).toBe(PARTITIONS);
    await boxesOf(page.locator('li, tbody tr'));
  });

  it.each(['page.html', 'many-days.html'])('no two labels over each other: %s', async (name) => {
    const { page: shown } = await open({ url: `file://${join(folder, name)}` });
    for (const drawing of await shown.locator('svg[role=img]').all()) {
      const boxes = await boxesOf(drawing.locator('text'));
      for (const [i, a] of boxes.entries())
        for (const b of boxes.slice(i + 1)) {
          const isOver =
            a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
          expect(isOver, JSON.stringify([a, b])).toBe(false);
        }
    }
    await shown.close();
  });

  it('a picture that is not blank', async () => {
    const path = process.env['TEST_SCREENSHOT'];
    const png = await page.screenshot({ fullPage: true, ...(path ? { path } : {}) });
    const { distinct, blue, red, background } = await coloursOf(page, png);
    expect(distinct).toBeGreaterThan(50);
    expect(blue).toBeGreaterThan(0.01);
    expect(red).toBeGreaterThan(0.001);
    expect(background).toBeLessThan(0.95);
  });
});

it('asks nobody for anything and complains of nothing, opened as a file or served', async () => {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    response.setHeader('content-type', 'text/html; charset=utf-8').end(html);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/page.html`;
    for (const options of [{}, { url }]) {
      const { page, requests, complaints } = await open(options);
      await page.waitForLoadState('networkidle');
      expect(requests).toEqual([]);
      expect(complaints).toEqual([]);
      await page.close();
    }
    expect(asked).toEqual(['/page.html']);
  } finally {
    server.close();
  }
});

it('is dark where the reader has it dark', async () => {
  const { page } = await open({ dark: true });
  const colour = async (name: string) => {
    const [text = ''] = await ofAll<string>(page.locator('body'), `getComputedStyle(one).${name}`);
    return (text.match(/\d+/g) ?? []).slice(0, 3).reduce((sum, part) => sum + Number(part), 0);
  };
  const [ink, back] = [await colour('color'), await colour('backgroundColor')];
  expect(ink).toBeGreaterThan(600);
  expect(back).toBeLessThan(150);
  await page.close();
});

it.each([400, 800, 1_600])('fits a window of %i pixels: only drawings scroll', async (width) => {
  const { page } = await open({ width });
  const over = (await page.evaluate('document.documentElement.scrollWidth - innerWidth')) as number;
  expect(over).toBeLessThanOrEqual(0);
  await page.close();
});

/** What a script says about each element; scripts are text, for the browser's names are not those of Node. */
const ofAll = <T>(locator: Locator, script: string): Promise<T[]> =>
  locator.evaluateAll(new Function('all', `return all.map((one) => ${script})`) as (all: unknown[]) => T[]);

interface Colours {
  readonly distinct: number;
  /** Shares of all pixels. */
  readonly blue: number;
  readonly red: number;
  readonly background: number;
}

/** The colours of a picture, counted by the browser. */
const coloursOf = (page: Page, png: Buffer): Promise<Colours> =>
  page.evaluate(`(async () => {
    const bytes = Uint8Array.from(atob('${png.toString('base64')}'), (character) => character.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
    const context = new OffscreenCanvas(image.width, image.height).getContext('2d');
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, image.width, image.height);
    const counts = new Map();
    let [blue, red] = [0, 0];
    for (let at = 0; at < data.length; at += 4) {
      const [r, g, b] = data.subarray(at, at + 3);
      const colour = (r << 16) | (g << 8) | b;
      counts.set(colour, (counts.get(colour) ?? 0) + 1);
      if (b > r + 60) blue++;
      if (r > b + 60 && r > g + 60) red++;
    }
    const pixels = data.length / 4;
    const background = Math.max(...counts.values()) / pixels;
    return { distinct: counts.size, blue: blue / pixels, red: red / pixels, background };
  })()`) as Promise<Colours>;
