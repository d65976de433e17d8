// An archive that the product writes, with what breaks engines that guess: values that are text in the first objects and
// JSON later, fields that most objects have not, dates as texts, ids beyond 2^53, names of properties that come later,
// tombstones, three compressions, an empty day, a topic without partitions.
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { main } from '../../src/cli/main.ts';
import { testTerminal } from '../cli/terminal.ts';
import { startLoopbackStage } from '../stage/loopback-stage.ts';

/** The topics of the archive, as recipes name them. */
export const [ORDERS, PLAIN] = ['public/default/orders', 'public/default/plain'];

const DAY_MS = 86_400_000;
const START_MS = Date.UTC(2026, 10, 20, 23, 59, 58);

const FILL = Array.from({ length: 500_000 }, (_, i) => ((i * 2_654_435_761) % 1_000_003).toString(36)).join(
  ' ',
);

const payloadOf = (day: number, i: number): string | Uint8Array | null => {
  // On the first day texts alone, some of which look like something else.
  if (day === 0) return ['plain text', '2026-11-20', '12', '', 'NaN', 'é 😀 "quoted"\n\t'][i % 6] as string;
  if (i % 7 === 3) return null;
  if (i % 7 === 5) return Buffer.from([0xff, 0x00, i]);
  // Several frames of Zstandard: some readers give the first alone, and say nothing.
  if (day === 4 && i === 0) return `{"amount":0.50,"fill":"${FILL}"}`;
  if (i % 7 === 6) return '{"amount":"unknown"}';
  return `{"amount":${i}.50,"at":"2026-11-2${day}T10:00:00Z","lines":[{"sku":"A-${i}"}],"big":9007199254740993}`;
};

/** Writes a copy of the archive to `folder`: runs on three days of the messages, the third and the fourth day, the second is empty. */
export async function writeRecipesArchive(folder: string): Promise<void> {
  const rule = await startLoopbackStage({ partitions: 3 });
  try {
    rule.broker.createTopic(PLAIN as string);
    for (const [day, FILE_COMPRESSION] of [
      [0, 'none'],
      [3, 'gzip'],
      [4, 'zstd'],
    ] as const)
      for (const topic of [ORDERS, PLAIN] as const) {
        const messages = Array.from({ length: topic === PLAIN ? 8 : 42 }, (_, i) => ({
          payload: payloadOf(day, i),
          publishTimeMs: START_MS + day * DAY_MS + i * 100,
          ...(i % 5 === 4 ? {} : { key: `00${i % 6}` }),
          ...(i % 4 === 3
            ? {}
            : { properties: { type: 'order', ...(day === 4 ? { trace: `t-${i}` } : {}) } }),
          ...(i % 9 === 8 ? { eventTimeMs: START_MS - i } : {}),
        }));
        rule.broker.publish(topic as string, messages);
        const env = { ...rule.env, PULSAR_TOPIC: topic as string, FILE_COMPRESSION, FILE_MAX_MESSAGES: '6' };
        const { terminal, err } = testTerminal({ ...env, RULE_NAME: `${topic?.split('/').at(-1)}-backup` });
        if ((await main(['run'], terminal)) !== 0) throw new Error(err());
      }
    cpSync(join(rule.folder, 'tdmq'), folder, { recursive: true });
  } finally {
    await rule.close();
  }
}
