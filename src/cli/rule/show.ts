// `tdmq-backup rule show`: one rule with its settings, its state and its last run.
import { findRule, shownSetting, type Timer } from '../../rules/rule.ts';
import { readState } from '../../rules/rule-state.ts';
import type { RunRecord } from '../../rules/run-history.ts';
import { instancesOf } from '../../rules/schedule.ts';
import type { Command } from '../command.ts';
import { paint } from '../terminal/paint.ts';
import { formatBytes } from '../terminal/table.ts';
import { COMMON_HELP, formatAgo, openAccount, parseOneName, whileWaiting } from './context.ts';
import { describeState, paintState, reportUnknown, shownNever } from './shown-state.ts';

export const command: Command = {
  summary: 'one rule: settings, state, last run, backlog',
  help: `
Usage: tdmq-backup rule show NAME [--json]

Secrets are not shown. Exit code 1 if the rule is unwell.
${COMMON_HELP}

Examples:
  tdmq-backup rule show orders-backup
  tdmq-backup rule show orders-backup --json
`,
  async run(args, terminal) {
    const { values, name } = parseOneName(args, {});
    const { cloud, access } = await openAccount(values, terminal);
    const rule = await findRule(cloud, name);
    const state = await whileWaiting('asking how the rule is', terminal, () =>
      readState(cloud, rule, access),
    );
    const exitCode = state.state === 'active' || state.state === 'paused' ? 0 : 1;
    const settings = Object.fromEntries(
      Object.entries(rule.environment).map(([key, value]) => [key, shownSetting(key, value)]),
    );
    if (values.json) {
      const { memoryMb, timeoutSeconds, runtime, vpc, runRole, cls, timers, status } = rule;
      terminal.stdout.write(
        `${JSON.stringify({ ...describeState(rule, state), status, memoryMb, timeoutSeconds, runtime, vpc, runRole, cls, timers, settings })}\n`,
      );
      return exitCode;
    }
    const { bold, dim } = paint(terminal.stdout, terminal.env);
    const nowMs = cloud.clock.now();
    const { lastRun } = state;
    const facts: [string, string][] = [
      ['state', paintState(state.state, terminal) + (state.reason === undefined ? '' : `: ${state.reason}`)],
      [
        'last run',
        lastRun === undefined
          ? shownNever(state)
          : `${formatAgo(lastRun.endedAtMs, nowMs)}, ${describeRun(lastRun)}`,
      ],
      ['last success', formatAgo(state.lastSuccess?.endedAtMs, nowMs, shownNever(state))],
      ['backlog', state.backlog === undefined ? '–' : `${state.backlog.toLocaleString('en-US')} messages`],
      ...(state.lingering === undefined ? [] : [describeLingering(state.lingering, lastRun, nowMs)]),
      ['instances', `${instancesOf(rule)} for each tick`],
      ['timers', describeTimers(rule.timers)],
      [
        'function',
        `${rule.functionName}, ${rule.status}, ${rule.runtime}, ${rule.memoryMb} MB, ${rule.timeoutSeconds} s`,
      ],
      ['network', rule.vpc === undefined ? 'no VPC' : `${rule.vpc.vpcId} / ${rule.vpc.subnetId}`],
      ['run role', rule.runRole ?? 'none'],
      ['logs', rule.cls === undefined ? 'in no CLS topic that SCF names' : `CLS topic ${rule.cls.topicId}`],
    ];
    terminal.stdout.write(`${bold(rule.name)} in ${rule.region}\n`);
    const width = Math.max(...facts.map(([key]) => key.length));
    for (const [key, value] of facts) {
      terminal.stdout.write(`  ${dim(key.padEnd(width))}  ${value}\n`);
      if (key === 'state' && state.hint !== undefined) {
        terminal.stdout.write(`  ${' '.repeat(width)}  → ${state.hint}\n`);
      }
    }
    for (const [key, value] of Object.entries(settings)) terminal.stdout.write(`  ${dim(key)}=${value}\n`);
    reportUnknown([{ rule, ...state }], terminal);
    return exitCode;
  },
};

/** What waits in the subscription until it is old enough for a file. */
function describeLingering(
  messages: number,
  lastRun: RunRecord | undefined,
  nowMs: number,
): [string, string] {
  const oldestMs = Date.parse(lastRun?.lingering?.oldestPublishTime ?? '');
  const since = Number.isNaN(oldestMs) ? '' : `, the oldest published ${formatAgo(oldestMs, nowMs)}`;
  return ['lingering', `${messages.toLocaleString('en-US')} messages${since}`];
}

/** Those that fire together, together. */
function describeTimers(timers: readonly Timer[]): string {
  const kinds = new Map<string, string[]>();
  for (const { name, cron, isOn } of timers) {
    const kind = `${cron} (${isOn ? 'on' : 'off'})`;
    kinds.set(kind, [...(kinds.get(kind) ?? []), name]);
  }
  return [...kinds].map(([kind, names]) => `${kind}: ${names.join(', ')}`).join('; ') || 'none';
}

function describeRun(run: {
  result: string;
  messages: number;
  objects: number;
  recordBytes: number;
  error: string | undefined;
}): string {
  return run.result === 'ok'
    ? `${run.messages.toLocaleString('en-US')} messages in ${run.objects} objects, ${formatBytes(run.recordBytes)}`
    : `failed: ${run.error ?? 'no reason given'}`;
}
