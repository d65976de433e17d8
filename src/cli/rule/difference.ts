// What an edit changes, name by name, and what that means for "each message in exactly one object".

import { shownEnvironment } from '../../rules/function-steps.ts';
import type { ResolvedRule } from '../../rules/resolve-rule.ts';
import { type Rule, shownSetting } from '../../rules/rule.ts';
import { instancesOf } from '../../rules/schedule.ts';
import type { Terminal } from '../command.ts';
import { paint } from '../terminal/paint.ts';

export interface Difference {
  readonly name: string;
  readonly before: string | undefined;
  readonly after: string | undefined;
  /** What the change means for the archive, where it is no small thing. */
  readonly meaning: string | undefined;
}

/** Every name that has another value afterwards; secrets by their names only. */
export function differences(before: Rule, after: ResolvedRule): Difference[] {
  const was: Record<string, string | undefined> = {
    instances: String(instancesOf(before)),
    memory: `${before.memoryMb} MB`,
    timeout: `${before.timeoutSeconds} s`,
    'run role': before.runRole,
    network: before.vpc && `${before.vpc.vpcId} / ${before.vpc.subnetId}`,
    'log topic': before.cls?.topicId,
    ...Object.fromEntries(
      Object.entries(before.environment).map(([name, value]) => [name, shownSetting(name, value)]),
    ),
  };
  const { startMs, subscription } = after;
  const place = startMs === 1 ? 'the earliest message' : startMs && new Date(startMs).toISOString();
  const is: Record<string, string | undefined> = {
    instances: String(after.instances),
    memory: `${after.memoryMb} MB`,
    timeout: `${after.timeoutSeconds} s`,
    'run role': after.runRole,
    network: `${after.vpc.vpcId} / ${after.vpc.subnetId}`,
    'log topic': after.cls?.topicId,
    ...shownEnvironment(after),
    ...(place && (subscription.existing ? { position: place } : { 'new subscription': `at ${place}` })),
  };
  for (const [name, value] of Object.entries(after.environment)) {
    const isUnseen = was[name] === is[name] && before.environment[name] !== value;
    if (isUnseen) is[name] = 'another [secret]';
  }
  return [...new Set([...Object.keys(was), ...Object.keys(is)])]
    .filter((name) => was[name] !== is[name])
    .map((name) => ({ name, before: was[name], after: is[name], meaning: MEANINGS[name] }));
}

const ANOTHER_ARCHIVE =
  'is another archive: a run that was interrupted before may leave messages in both (`archive verify` reports them)';

const MEANINGS: Readonly<Record<string, string>> = {
  PULSAR_TOPIC:
    'another topic begins a new folder in the archive; what the old topic still holds is no longer backed up',
  PULSAR_SUBSCRIPTION:
    'another subscription has its own position: messages that were stored already may be stored again, or messages in between never',
  COS_PREFIX: `another prefix ${ANOTHER_ARCHIVE}`,
  COS_BUCKET: `another bucket ${ANOTHER_ARCHIVE}`,
  FILE_COMPRESSION:
    'objects get another ending: a run that was interrupted before may leave messages in two objects (`archive verify` reports them)',
  PULSAR_SUBSCRIPTION_TYPE:
    'Shared and Key_Shared are at-least-once; brokers refuse another type while consumers of the old one are connected',
  position:
    'a position moved back stores messages a second time; one moved forward leaves messages out of the archive',
};

/** The difference as lines with - and +, and what it means. */
export function showDifference(
  { name: rule }: Rule,
  difference: readonly Difference[],
  warnings: readonly string[],
  terminal: Terminal,
): void {
  const { bold, red, green, yellow } = paint(terminal.stdout, terminal.env);
  terminal.stdout.write(`${bold(rule)}\n`);
  for (const { name, before, after } of difference) {
    if (before !== undefined) terminal.stdout.write(`  ${red(`- ${name} ${before}`)}\n`);
    if (after !== undefined) terminal.stdout.write(`  ${green(`+ ${name} ${after}`)}\n`);
  }
  for (const { name, meaning } of difference) {
    if (meaning !== undefined) terminal.stdout.write(`${yellow('⚠')} ${name}: ${meaning}\n`);
  }
  for (const warning of warnings) terminal.stdout.write(`${yellow('⚠')} ${warning}\n`);
}
