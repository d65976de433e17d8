// A log line of the function, as a person reads it at a terminal.

const KNOWN = new Set(['level', 'time', 'rule', 'requestId', 'message']);

/** `message  field=value …`, without what is the same in every line. What is no log line stays as it is. */
export function formatLogLine(line: string): string {
  const parsed = parse(line);
  if (parsed === undefined) return line;
  const { level, message } = parsed;
  const fields = Object.entries(parsed)
    .filter(([name]) => !KNOWN.has(name))
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  const loud = level === 'info' || level === 'debug' || level === 'trace' ? '' : `${level}: `;
  return `${loud}${message}  ${fields.join(' ')}`.trimEnd();
}

function parse(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const fields: Record<string, unknown> = JSON.parse(line);
    return typeof fields['message'] === 'string' ? fields : undefined;
  } catch {
    return undefined;
  }
}
