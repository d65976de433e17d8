// The part of `check` that asks Pulsar: is the address reached, and can the subscription be consumed as the function
// would. It takes no message: it subscribes, looks, and leaves.

import { connect } from 'node:net';
import type { PulsarConfig, RuleConfig } from '../../config.ts';
import { systemClock } from '../../lib/clock.ts';
import type { Logger, Source, SourcePartition } from '../../ports.ts';
import { createSource } from '../../pulsar/create-source.ts';
import { readTlsFiles, type TlsFiles } from '../../pulsar/tls-files.ts';
import { LISTENER_IGNORED } from '../../pulsar/wire/cluster.ts';
import { type Address, hostPort, parseServiceUrl } from '../../pulsar/wire/service-url.ts';
import { type CheckResult, fail, failed, ok, warn } from '../../rules/check-result.ts';
import { readRoleKey } from '../../rules/role-key.ts';
import { checkKeeping, paceOf } from '../../rules/time-to-live.ts';
import { type AdminView, askAdmin } from './pulsar-admin.ts';

const CONNECT_TIMEOUT_MS = 5_000;
/** Enough to subscribe; messages are not wanted. */
const RECEIVE_BUDGET_BYTES = 1_048_576;

export interface PulsarCheck {
  readonly signal: AbortSignal;
  /** Of a role key that is read through the TDMQ API; for tests. */
  readonly tdmqEndpoint?: string | undefined;
  readonly subscribes: boolean;
  /** Gets the number of partitions of the topic. */
  readonly onPartitions?: (count: number) => void;
}

/** Asks one thing after the other; ends early where the address is not reached. */
export async function* checkPulsar(
  config: RuleConfig,
  logger: Logger,
  options: PulsarCheck,
): AsyncGenerator<CheckResult> {
  const { addresses } = parseServiceUrl(config.pulsar.serviceUrl);
  const reached = await reachAddresses(addresses, options.signal);
  yield reached;
  if (reached.status === 'fail') return;

  let { pulsar } = config;
  if (pulsar.tdmqRole !== undefined) {
    const { region, credentials } = config.cos;
    try {
      const endpoint = options.tdmqEndpoint;
      const { signal } = options;
      const request = {
        ...pulsar.tdmqRole,
        region,
        credentials,
        signal,
        endpoint,
        runsFrom: pulsar.runsFrom,
      };
      pulsar = { ...pulsar, token: await readRoleKey(request) };
      yield ok('role key', `read from TDMQ role ${config.pulsar.tdmqRole?.roleName}`);
    } catch (error) {
      yield failed('role key', error);
      return;
    }
  }
  let tls: TlsFiles;
  try {
    tls = readTlsFiles(pulsar);
  } catch (error) {
    yield failed('certificates', error);
    return;
  }
  const view = await askAdmin(pulsar, tls, options.signal);
  yield* checkKeeping(view.keeping, paceOf(config));
  yield* subscriptionAsSeen(view, pulsar, options.subscribes);
  if (options.subscribes) yield* subscribe(pulsar, logger, options);
}

async function reachAddresses(addresses: readonly Address[], signal: AbortSignal): Promise<CheckResult> {
  const item = 'address';
  const outcomes = await Promise.all(addresses.map((address) => reach(address, signal)));
  const faults = outcomes.filter((outcome) => outcome !== undefined);
  const names = addresses.map(hostPort).join(', ');
  if (faults.length === 0) return ok(item, names);
  const cause = faults.join('; ');
  return faults.length < addresses.length
    ? warn(
        item,
        `not all are reached: ${cause}`,
        'Correct PULSAR_SERVICE_URL, if they are not down just now.',
      )
    : fail(
        item,
        cause,
        "Check PULSAR_SERVICE_URL. The cluster's access address is private: run the check inside its VPC, and put the function there (DEPLOY_VPC_ID).",
      );
}

/** `undefined` where a connection is accepted. */
function reach(address: Address, signal: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: address.host, port: address.port, signal, timeout: CONNECT_TIMEOUT_MS });
    const end = (fault: string | undefined) => {
      socket.destroy();
      resolve(fault === undefined ? undefined : `${hostPort(address)} ${fault}`);
    };
    socket.once('connect', () => end(undefined));
    socket.once('timeout', () => end(`does not answer within ${CONNECT_TIMEOUT_MS / 1_000} s`));
    socket.once('error', (error: NodeJS.ErrnoException) => end(FAULTS[error.code ?? ''] ?? error.message));
  });
}

const FAULTS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refuses the connection: nothing listens there',
  ENOTFOUND: 'is no name that is known here',
  EAI_AGAIN: 'cannot be resolved: no name server answers',
};

const TYPE_NAMES = {
  exclusive: 'Exclusive',
  failover: 'Failover',
  shared: 'Shared',
  key_shared: 'Key_Shared',
};

/** What the admin API reports of the subscription; nothing where it reports nothing. */
function subscriptionAsSeen(
  { subscription }: AdminView,
  pulsar: PulsarConfig,
  subscribes: boolean,
): CheckResult[] {
  const item = 'subscription';
  if (subscription === undefined) return [];
  if (subscription === 'missing') {
    return [
      warn(
        item,
        `${pulsar.subscription} did not exist; ${subscribes ? 'this check makes it' : 'the first run makes it'}, at ${pulsar.initialPosition}`,
        'Fine for a new rule. For an old one, correct PULSAR_SUBSCRIPTION.',
      ),
    ];
  }
  const { type, consumers, backlog } = subscription;
  const state = `${pulsar.subscription}, backlog ${backlog ?? 'unknown'}`;
  if (consumers.length === 0) return [ok(item, `${state}, no consumers`)];
  const isOtherType = type !== undefined && type !== TYPE_NAMES[pulsar.subscriptionType];
  const hint =
    'If they are not runs of this rule, give the rule a subscription of its own: what others acknowledge is not backed up.';
  const cause = `${state}, consumers are connected: ${consumers.join(', ')}`;
  return isOtherType
    ? [
        fail(
          item,
          `${cause}; they consume it as ${type}, the rule is ${TYPE_NAMES[pulsar.subscriptionType]}`,
          hint,
        ),
      ]
    : [warn(item, cause, hint)];
}

async function* subscribe(
  pulsar: PulsarConfig,
  logger: Logger,
  { signal, onPartitions }: PulsarCheck,
): AsyncGenerator<CheckResult> {
  const item = 'consume';
  const warnings: string[] = [];
  let source: Source | undefined;
  try {
    source = await createSource({
      config: pulsar,
      receiveBudgetBytes: RECEIVE_BUDGET_BYTES,
      clock: systemClock,
      logger: { ...logger, warn: (_fields, message) => void warnings.push(message) },
      signal,
    });
    const partitions = await source.open();
    if (partitions === 'busy') {
      return yield warn(
        item,
        `somebody else consumes ${pulsar.subscription}, which is exclusive`,
        'Fine if it is a run of this rule: check again when it has ended. Otherwise choose a subscription of its own.',
      );
    }
    onPartitions?.(partitions.length);
    const count = partitions[0]?.partition === -1 ? 'no partitions' : `${partitions.length} partitions`;
    yield ok(item, `${pulsar.topic.full}, ${count}, driver ${source.driver}`);
    if (warnings.includes(LISTENER_IGNORED)) {
      yield warn(
        'listener',
        LISTENER_IGNORED,
        'Use a PULSAR_SERVICE_URL of pulsar:// or pulsar+ssl://, or leave PULSAR_LISTENER_NAME out: the address that the brokers give without it is reached from here.',
      );
    }
    yield await backlogOf(partitions);
  } catch (error) {
    yield failed(item, error);
  } finally {
    await source?.close();
  }
}

/** How much waits for the rule. */
export async function backlogOf(
  partitions: readonly Pick<SourcePartition, 'backlog'>[],
): Promise<CheckResult> {
  const counts = await Promise.all(partitions.map((partition) => partition.backlog()));
  let total = 0;
  for (const one of counts) {
    const count = one?.entries ?? one?.messages;
    if (count === undefined) {
      return warn(
        'backlog',
        'the broker does not report how much is waiting',
        'See the subscription in the TDMQ console.',
      );
    }
    total += count;
  }
  return total > LONG_BACKLOG
    ? warn(
        'backlog',
        `${total.toLocaleString('en-US')} entries wait`,
        'The first runs will each end at their time limit. `tdmq-backup run` archives a long history in one go.',
      )
    : ok('backlog', `${total.toLocaleString('en-US')} entries wait`);
}

/** What a run of five minutes does not drain, as a rule of thumb. */
const LONG_BACKLOG = 1_000_000;
