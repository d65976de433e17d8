// Loggers for tests: one that says nothing, and one that keeps what it was given.
import type { Logger } from '../../src/ports.ts';

const silent = () => undefined;
export const silentLogger: Logger = { debug: silent, info: silent, warn: silent, error: silent };

/** A logger that keeps its lines, as they were when they were logged. */
export function keepingLogger(): Logger & {
  readonly lines: { level: string; message: string; fields: Record<string, unknown> }[];
} {
  const lines: { level: string; message: string; fields: Record<string, unknown> }[] = [];
  const log = (level: string) => (fields: object, message: string) => {
    lines.push({ level, message, fields: { ...fields } });
  };
  return { lines, debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') };
}
