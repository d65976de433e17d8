// The runs of a rule, read from its log topic in CLS: the lines `run finished` and `run failed` carry the summary, and
// SCF's own lines report runs that it ended itself (time-out, memory). Reads only.
import { BackupError } from '../errors.ts';
import { isNotFound } from './api-failure.ts';
import type { Cloud } from './cloud.ts';
import type { Rule } from './rule.ts';

export interface RunRecord {
  readonly requestId: string;
  /** Which repetition by SCF it is, 0 for the run itself: they share the request id. */
  readonly retry: number;
  /** There is no line of ours: SCF ended the run, or ours is not there yet. */
  readonly isEndedByScf: boolean;
  /** When it ended, milliseconds since the epoch. */
  readonly endedAtMs: number;
  readonly result: 'ok' | 'failed';
  readonly stopReason: string | undefined;
  readonly messages: number;
  readonly objects: number;
  readonly recordBytes: number;
  readonly unreadable: number;
  readonly durationMs: number | undefined;
  readonly error: string | undefined;
  readonly hint: string | undefined;
  /** `config`, `source`, `store` … */
  readonly errorCode: string | undefined;
  /** The failing service's own words: `code`, `status`, `serverError`, `apiCode` … */
  readonly errorDetails: Readonly<Record<string, string>>;
  /** Besides what lingers. */
  readonly backlog: number | undefined;
  /** Messages that it left in the subscription until they are old enough for a file, and when the oldest was published. */
  readonly lingering:
    | { readonly messages: number; readonly oldestPublishTime: string | undefined }
    | undefined;
  /** Why the broker did not deliver the rest. */
  readonly heldBack: string | undefined;
  /** In how many partitions it found the subscription moved forwards. */
  readonly subscriptionMoved: number;
}

export interface LogLine {
  readonly timeMs: number;
  /** One line's own JSON, or its text. */
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface RunQuery {
  /** Milliseconds since the epoch; until now. */
  readonly fromMs: number;
  readonly limit: number;
  readonly errorsOnly?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** SCF's status codes for runs that it ended itself (cloud.tencent.com/document/product/583/42611). */
const ENDED_BY_SCF: Readonly<Record<string, string>> = {
  '433': 'SCF ended the run at its time limit',
  '434': 'SCF ended the run at its memory limit',
  '439': 'the function’s process ended before the run did',
  '446': 'the function’s process ended before the run did',
};

/** Lines that SCF itself writes of each run that failed; enough of them not to miss one among many. */
const PLATFORM_LINES = 1_000;
/** How far this machine's clock may be behind. */
const CLOCK_SKEW_MS = 10 * 60_000;

/** What distinguishes one run from another: a run and its repetitions by SCF share the request id. */
export const keyOf = ({ requestId, retry }: RunRecord) => `${requestId} ${retry}`;

/** The latest runs, the newest first. @throws BackupError `rule`, also where the rule writes no logs to CLS */
export async function readRuns(cloud: Cloud, rule: Rule, query: RunQuery): Promise<RunRecord[]> {
  const own = query.errorsOnly ? '"run failed"' : '("run finished" OR "run failed")';
  const found = await search(cloud, rule, own, query);
  const platform = await search(cloud, rule, 'SCF_Type:"Platform" AND SCF_StatusCode:>=400', {
    ...query,
    limit: Math.max(PLATFORM_LINES, query.limit),
  });
  const runs = new Map<string, RunRecord>();
  // Our own line says more, so it goes before SCF's.
  for (const run of [...found.map(runOf), ...platform.map(endedByScf)]) {
    if (run !== undefined && !runs.has(keyOf(run))) runs.set(keyOf(run), run);
  }
  return [...runs.values()].sort((a, b) => b.endedAtMs - a.endedAtMs).slice(0, query.limit);
}

/** Every line of one run, in order. */
export async function readRunLines(
  cloud: Cloud,
  rule: Rule,
  requestId: string,
  query: RunQuery,
): Promise<LogLine[]> {
  const lines = await search(cloud, rule, `SCF_RequestId:"${quoted(requestId)}"`, query, 'asc');
  return lines.map(({ timeMs, fields }) => ({ timeMs, fields: ownFields(fields) }));
}

async function search(
  cloud: Cloud,
  rule: Rule,
  condition: string,
  { fromMs, limit, signal }: RunQuery,
  sort: 'asc' | 'desc' = 'desc',
): Promise<LogLine[]> {
  if (rule.cls === undefined) throw noLogs(rule);
  const lines: LogLine[] = [];
  try {
    while (lines.length < limit) {
      const answer = await cloud.call(
        'cls',
        'SearchLog',
        {
          TopicId: rule.cls.topicId,
          From: fromMs,
          To: cloud.clock.now() + CLOCK_SKEW_MS,
          QueryString: `SCF_FunctionName:"${quoted(rule.functionName)}" AND ${condition}`,
          QuerySyntax: 1,
          Sort: sort,
          Limit: Math.min(1_000, limit - lines.length),
          Offset: lines.length,
        },
        { signal },
      );
      const rows = answer.Results ?? [];
      lines.push(...rows.map((row) => ({ timeMs: row.Time ?? 0, fields: parse(row.LogJson) })));
      if (answer.ListOver || rows.length === 0) break;
    }
  } catch (error) {
    if (!isNotFound(error)) throw error;
    throw new BackupError(
      'rule',
      `the log topic ${rule.cls.topicId} of ${rule.name} does not exist any more`,
      {
        cause: error,
        hint: `Make one in the CLS console and set it: tdmq-backup rule edit ${rule.name} --cls-logset … --cls-topic …`,
      },
    );
  }
  return lines;
}

function noLogs(rule: Rule): BackupError {
  return new BackupError('rule', `${rule.name} names no CLS topic for its logs`, {
    hint: `Make a log set and a topic in the CLS console, with a full-text index and a key-value index with statistics on our fields (docs/operations.md lists them), and switch it on: tdmq-backup rule edit ${rule.name} --cls-logset ID --cls-topic ID. Until then, the SCF console shows the latest runs.`,
  });
}

/** Nothing that a query could take for its own syntax. */
const quoted = (text: string) => text.replace(/["\\]/g, '');

function parse(json: string | undefined): Record<string, unknown> {
  try {
    return JSON.parse(json ?? '{}') as Record<string, unknown>;
  } catch {
    return { SCF_Message: json };
  }
}

/** Our own fields of a line, whether SCF has taken its JSON apart or left it as text in SCF_Message. */
function ownFields(fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const message = fields['SCF_Message'];
  if (typeof message === 'string' && message.trim().startsWith('{')) return parse(message);
  const own = Object.fromEntries(Object.entries(fields).filter(([name]) => !name.startsWith('SCF_')));
  return Object.keys(own).length > 0 ? own : { message: typeof message === 'string' ? message.trim() : '' };
}

function runOf(line: LogLine): RunRecord | undefined {
  const own = ownFields(line.fields);
  const event = own['message'];
  if (event !== 'run finished' && event !== 'run failed') return undefined;
  const text = (name: string) => (own[name] === undefined ? undefined : String(own[name]));
  const number = (name: string) => (own[name] === undefined ? undefined : Number(own[name]));
  return {
    requestId: text('requestId') ?? String(line.fields['SCF_RequestId'] ?? ''),
    retry: retryOf(line),
    isEndedByScf: false,
    endedAtMs: line.timeMs,
    result: event === 'run finished' ? 'ok' : 'failed',
    stopReason: text('stopReason'),
    messages: number('messages') ?? 0,
    objects: number('objects') ?? 0,
    recordBytes: number('recordBytes') ?? 0,
    unreadable: number('unreadable') ?? 0,
    durationMs: number('durationMs'),
    error: text('errorMessage'),
    hint: text('hint'),
    errorCode: text('errorCode'),
    errorDetails: detailsOf(own),
    backlog: number('backlogMessages') ?? number('backlogEntries'),
    lingering: lingeringOf(own),
    heldBack: text('heldBack'),
    subscriptionMoved: number('subscriptionMoved') ?? 0,
  };
}

function lingeringOf(own: Readonly<Record<string, unknown>>): RunRecord['lingering'] {
  const { lingeringMessages: messages, lingeringOldestPublishTime: oldest } = own;
  if (messages === undefined) return undefined;
  return {
    messages: Number(messages),
    oldestPublishTime: oldest === undefined ? undefined : String(oldest),
  };
}

/** The log's `detailHttpStatus` as `httpStatus`. */
function detailsOf(own: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(own).flatMap(([name, value]) => {
      const [, first, rest] = /^detail([A-Z])(.*)$/.exec(name) ?? [];
      return first === undefined ? [] : [[first.toLowerCase() + rest, String(value)]];
    }),
  );
}

function endedByScf(line: LogLine): RunRecord | undefined {
  const { SCF_RequestId: requestId, SCF_StatusCode: status = '' } = line.fields as Record<string, string>;
  if (!requestId) return undefined;
  return {
    requestId,
    retry: retryOf(line),
    isEndedByScf: true,
    endedAtMs: line.timeMs,
    result: 'failed',
    stopReason: undefined,
    messages: 0,
    objects: 0,
    recordBytes: 0,
    unreadable: 0,
    durationMs: Number(line.fields['SCF_Duration'] ?? 0) || undefined,
    error: ENDED_BY_SCF[status] ?? `SCF ended the run with status ${status}`,
    hint:
      status === '434'
        ? 'Give the function more memory: --memory.'
        : 'See the lines of the run: tdmq-backup rule logs NAME --request ID.',
    errorCode: undefined,
    errorDetails: { scfStatus: String(status) },
    backlog: undefined,
    lingering: undefined,
    heldBack: undefined,
    subscriptionMoved: 0,
  };
}

const retryOf = ({ fields }: LogLine) => Number(fields['SCF_RetryNum'] ?? 0);
