// Whether a namespace keeps unread messages, and the subscription, long enough for a rule: with a linger, messages wait in it
// by design. It asks nobody.
import type { RuleSettings } from '../config.ts';
import { type CheckResult, fail, ok, warn } from './check-result.ts';

/** Runs that may fail in a row before unread messages are dropped; with fewer it is worth a warning. */
const RUNS_WITHIN_TTL = 12;

/** How often a rule runs, and how long what fills no file waits. */
export interface Pace {
  readonly intervalSeconds: number;
  readonly lingerSeconds: number;
}

/** That of a rule. */
export const paceOf = ({ run, file }: Pick<RuleSettings, 'run' | 'file'>): Pace => ({
  intervalSeconds: run.intervalMinutes * 60,
  lingerSeconds: file.lingerMinutes * 60,
});

/** The limits of a namespace, as far as they are known. 0 or less: for ever, or none. */
export interface Keeping {
  /** Messages that are not acknowledged are dropped then. */
  readonly ttlSeconds?: number | undefined;
  /** Acknowledged messages are kept so long. */
  readonly retentionSeconds?: number | undefined;
  /** A subscription that nobody uses is deleted then. */
  readonly expirySeconds?: number | undefined;
  /** The backlog quota by age, and what becomes of a subscription that is over it. */
  readonly backlogAgeSeconds?: number | undefined;
  readonly backlogPolicy?: string | undefined;
}

/** How many runs there are between the time at which a message is to be stored and the end of its time. */
const runsWithin = (seconds: number, { intervalSeconds, lingerSeconds }: Pace): number =>
  Math.max(0, Math.floor((seconds - lingerSeconds) / intervalSeconds));

const isLimit = (seconds: number | undefined): seconds is number => seconds !== undefined && seconds > 0;

/** Whether that many failed runs would lose messages. `undefined` or 0: they are kept for ever. */
export const isShortTimeToLive = (ttlSeconds: number | undefined, pace: Pace): boolean =>
  isLimit(ttlSeconds) && ttlSeconds - pace.lingerSeconds < RUNS_WITHIN_TTL * pace.intervalSeconds;

/** What a rule can expect of the namespace; nothing of what it does not limit. */
export function checkKeeping(keeping: Keeping, pace: Pace): CheckResult[] {
  const { ttlSeconds, backlogAgeSeconds } = keeping;
  return [
    ...(isLimit(ttlSeconds) ? [timeToLive(ttlSeconds, pace)] : []),
    ...(isShortTimeToLive(backlogAgeSeconds, pace)
      ? [backlogAge(backlogAgeSeconds as number, keeping.backlogPolicy, pace)]
      : []),
    ...(pace.lingerSeconds === 0 ? [] : nearLinger(keeping, pace)),
  ];
}

const rhythm = ({ intervalSeconds, lingerSeconds }: Pace): string =>
  `the rule runs every ${intervalSeconds} s${lingerSeconds === 0 ? '' : `, and messages linger for ${lingerSeconds} s`}`;

const raise = ({ lingerSeconds }: Pace): string =>
  lingerSeconds === 0 ? '' : ', or lower FILE_LINGER_MINUTES';

function timeToLive(ttlSeconds: number, pace: Pace): CheckResult {
  const item = 'time to live';
  const runs = runsWithin(ttlSeconds, pace);
  const { lingerSeconds } = pace;
  const besides = lingerSeconds === 0 ? '' : ` besides the linger of ${lingerSeconds} s`;
  if (!isShortTimeToLive(ttlSeconds, pace))
    return ok(item, `unread messages are kept for ${ttlSeconds} s, ${runs} runs${besides}`);
  const danger = runs < 2 ? 'messages can be lost in daily running' : `${runs} failed runs lose messages`;
  return (runs < 2 ? fail : warn)(
    item,
    `the namespace drops unread messages after ${ttlSeconds} s, and ${rhythm(pace)}: ${danger}`,
    `Raise the time to live of the namespace in the TDMQ console${raise(pace)}; a day or more leaves time to act.`,
  );
}

function backlogAge(seconds: number, policy: string | undefined, pace: Pace): CheckResult {
  const isEviction = policy === 'consumer_backlog_eviction';
  const danger = isEviction ? 'messages are dropped unread' : 'producers are refused';
  return (runsWithin(seconds, pace) < 2 ? fail : warn)(
    'backlog quota',
    `${danger} once the oldest one that is not acknowledged waits for ${seconds} s, and ${rhythm(pace)}`,
    `Raise the backlog quota by age of the namespace${raise(pace)}.`,
  );
}

/** What limits only a rule that leaves messages in its subscription for long. */
function nearLinger({ retentionSeconds, expirySeconds }: Keeping, pace: Pace): CheckResult[] {
  const { lingerSeconds } = pace;
  const isNear = (seconds: number | undefined) => isShortTimeToLive(seconds, pace);
  return [
    ...(isNear(retentionSeconds)
      ? [
          warn(
            'retention',
            `the namespace keeps acknowledged messages for ${retentionSeconds} s, and messages linger for ${lingerSeconds} s: what somebody acknowledges or skips in the subscription meanwhile cannot be read again for long`,
            'Raise the retention of the namespace, or lower FILE_LINGER_MINUTES.',
          ),
        ]
      : []),
    ...(isNear(expirySeconds)
      ? [
          warn(
            'subscription expiry',
            `a subscription that nobody uses for ${expirySeconds} s is deleted, and with it what lingers for ${lingerSeconds} s: a rule that is paused or fails so long loses messages`,
            'Raise the expiry of subscriptions of the namespace, or lower FILE_LINGER_MINUTES.',
          ),
        ]
      : []),
  ];
}
