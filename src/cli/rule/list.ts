// `tdmq-backup rule list`: every rule of the region, and how it is.

import type { BucketAccess } from '../../rules/bucket-lookup.ts';
import type { Cloud } from '../../rules/cloud.ts';
import { listRules, type Rule } from '../../rules/rule.ts';
import { type RuleState, readState } from '../../rules/rule-state.ts';
import { instancesOf } from '../../rules/schedule.ts';
import type { Command } from '../command.ts';
import { parseArgs } from '../parse-args.ts';
import { paint } from '../terminal/paint.ts';
import { formatTable } from '../terminal/table.ts';
import { COMMON_FLAGS, COMMON_HELP, formatAgo, openAccount, whileWaiting } from './context.ts';
import { describeState, paintState, reportUnknown, shownNever } from './shown-state.ts';

const SIDE_BY_SIDE = 4;

export const command: Command = {
  summary: 'the rules of the region and how they are',
  help: `
Usage: tdmq-backup rule list [--json]

One line for each rule, also for those deployed with serverless.yml: its state, last run, last success, the messages
of the last run, the messages that wait, the instances that a tick starts where a rule has several, and the reason
where it is unwell.

States: active, paused, permission denied, source missing, bucket missing, failing, subscription moved, falling behind.
Exit code 1 if a rule is unwell.
${COMMON_HELP}

Examples:
  tdmq-backup rule list
  tdmq-backup rule list --region ap-shanghai --json
`,
  async run(args, terminal) {
    const { values } = parseArgs({ args: [...args], options: COMMON_FLAGS });
    const { cloud, access } = await openAccount(values, terminal);
    const states = await whileWaiting('asking how the rules are', terminal, () => readStates(cloud, access));
    const isUnwell = states.some(({ state }) => state !== 'active' && state !== 'paused');
    if (values.json) {
      terminal.stdout.write(
        `${JSON.stringify({ region: cloud.region, rules: states.map(({ rule, ...state }) => describeState(rule, state)) })}\n`,
      );
      return isUnwell ? 1 : 0;
    }
    if (states.length === 0) {
      terminal.stdout.write(`No rule in ${cloud.region}. \`tdmq-backup rule create\` makes one.\n`);
      return 0;
    }
    const nowMs = cloud.clock.now();
    const isShared = states.some(({ rule }) => instancesOf(rule) > 1);
    const [head = '', ...lines] = formatTable(
      [
        ...['rule', 'state', 'last run', 'last success', 'messages', 'backlog'],
        ...(isShared ? ['instances'] : []),
        'reason',
      ],
      states.map(({ rule, state, reason, hasRun, lastRun, lastSuccess, backlog }) => [
        rule.name,
        state,
        formatAgo(lastRun?.endedAtMs, nowMs, shownNever({ hasRun })),
        formatAgo(lastSuccess?.endedAtMs, nowMs, shownNever({ hasRun })),
        lastRun?.messages ?? '–',
        backlog ?? '–',
        ...(isShared ? [instancesOf(rule)] : []),
        reason ?? '',
      ]),
    );
    terminal.stdout.write(`${paint(terminal.stdout, terminal.env).bold(head)}\n`);
    lines.forEach((line, i) => {
      const { rule, state } = states[i] as (typeof states)[number];
      // The name may hold the state's word as well.
      const rest = line.slice(rule.name.length).replace(state, paintState(state, terminal));
      terminal.stdout.write(`${rule.name}${rest}\n`);
    });
    for (const { rule, hint } of states) {
      if (hint !== undefined) terminal.stdout.write(`→ ${rule.name}: ${hint}\n`);
    }
    reportUnknown(states, terminal);
    return isUnwell ? 1 : 0;
  },
};

/** A few side by side: each takes several calls, and the API counts calls per second. */
async function readStates(cloud: Cloud, access: BucketAccess): Promise<({ rule: Rule } & RuleState)[]> {
  const rules = await listRules(cloud);
  const states: ({ rule: Rule } & RuleState)[] = [];
  for (let i = 0; i < rules.length; i += SIDE_BY_SIDE) {
    const some = rules.slice(i, i + SIDE_BY_SIDE);
    const found = some.map(async (rule) => ({ rule, ...(await readState(cloud, rule, access)) }));
    states.push(...(await Promise.all(found)));
  }
  return states;
}
