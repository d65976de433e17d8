// How a rule's state is written: in colour for a person, as JSON for a program.

import type { StateName } from '../../rules/outcome.ts';
import type { Rule } from '../../rules/rule.ts';
import type { RuleState } from '../../rules/rule-state.ts';
import { instancesOf } from '../../rules/schedule.ts';
import type { Terminal } from '../command.ts';
import { paint } from '../terminal/paint.ts';

/** The state's word in its colour. */
export function paintState(state: StateName, terminal: Terminal): string {
  const { green, yellow, red } = paint(terminal.stdout, terminal.env);
  if (state === 'active') return green(state);
  return state === 'paused' || state === 'falling behind' ? yellow(state) : red(state);
}

/** The state as `--json` reports it; the same for `list` and `show`. */
export function describeState(rule: Rule, state: RuleState): object {
  const iso = (ms: number | undefined) => (ms === undefined ? undefined : new Date(ms).toISOString());
  return {
    name: rule.name,
    function: rule.functionName,
    region: rule.region,
    instances: instancesOf(rule),
    timerNames: rule.timers.map((one) => one.name),
    state: state.state,
    reason: state.reason,
    hint: state.hint,
    lastRun: state.lastRun && { ...state.lastRun, endedAt: iso(state.lastRun.endedAtMs) },
    lastSuccessAt: iso(state.lastSuccess?.endedAtMs),
    backlog: state.backlog,
    lingering: state.lingering,
    unknown: state.unknown,
  };
}

/** What could not be asked, on stderr: each reason once, with the rules that it is about. */
export function reportUnknown(
  states: readonly { rule: Rule; unknown: readonly string[] }[],
  terminal: Terminal,
): void {
  const reasons = new Set(states.flatMap(({ unknown }) => unknown));
  for (const reason of reasons) {
    const names = states.filter(({ unknown }) => unknown.includes(reason)).map(({ rule }) => rule.name);
    terminal.stderr.write(`not known of ${names.join(', ')}: ${reason}\n`);
  }
}

/** In place of a time that there is none of: whether there was no run, or that cannot be known. */
export const shownNever = ({ hasRun }: Pick<RuleState, 'hasRun'>) => (hasRun === false ? 'never' : '–');
