// Every event that the function logs, as data: its message, its level, its fields, and its meaning for the operator
// of a rule. ports.ts types the logger by it, so nothing else can be logged; a test compares the table of
// docs/operations.md with it.

export type Level = 'debug' | 'info' | 'warn' | 'error';

/**
 * What a field contains. `?`: it may be missing. A list: one of these texts. `error`: whatever was thrown; the logger
 * writes its message, code, hint and cause as fields of their own.
 */
type FieldType =
  | 'text'
  | 'text?'
  | 'number'
  | 'number?'
  | 'boolean'
  | 'text|number'
  | 'error'
  | readonly string[];

interface LogEvent {
  /** Several if it depends on the case. */
  readonly level: Level | readonly Level[];
  readonly fields: Readonly<Record<string, FieldType>>;
  /** One sentence. */
  readonly meaning: string;
}

const summary = <Reasons extends readonly string[]>(...stopReason: Reasons) =>
  ({
    startedAt: 'text',
    durationMs: 'number',
    stopReason,
    messages: 'number',
    recordBytes: 'number',
    objects: 'number',
    alreadyStored: 'number',
    unreadable: 'number',
    subscriptionMoved: 'number?',
    schemasMissing: 'number?',
    backlogEntries: 'number?',
    backlogMessages: 'number?',
    backlogOldestPublishTime: 'text?',
    lingeringMessages: 'number?',
    lingeringOldestPublishTime: 'text?',
    heldBack: 'text?',
    partitions: 'number',
  }) as const;

const retried = {
  key: 'text',
  call: 'text',
  attempt: 'number',
  code: 'text|number',
  delayMs: 'number',
  reason: 'text',
} as const;

/** The events by their messages, in the order of a run. */
export const LOG_EVENTS = {
  'run started': {
    level: 'info',
    fields: {
      topic: 'text',
      subscription: 'text',
      subscriptionType: 'text',
      driver: 'text',
      bucket: 'text',
      prefix: 'text',
      readingMs: 'number',
      uploadBytes: 'number',
      receiveBytes: 'number',
      inUseBytes: 'number',
      largestMessageBytes: 'number',
    },
    meaning: 'The settings of the run without secrets, how long it may read, and how it divides its memory.',
  },
  'function limit low': {
    level: 'warn',
    fields: { reason: 'text', hint: 'text' },
    meaning:
      "The function's time-out or memory is so low that a run stores little: usually SCF's defaults of 3 s or 128 MB.",
  },
  'pulsar driver chosen': {
    level: 'info',
    fields: { driver: ['wire', 'native'] },
    meaning: 'The driver that reads from Pulsar.',
  },
  'object stored': {
    level: 'info',
    fields: {
      key: 'text',
      messages: 'number',
      bytes: 'number',
      rollReason: ['messages', 'bytes', 'age', 'end', 'deadline'],
      durationMs: 'number',
    },
    meaning: 'An object is complete in COS and its checksum matches; the run acknowledges its messages next.',
  },
  'object already stored': {
    level: 'warn',
    fields: {
      key: 'text',
      messages: 'number',
      isSame: 'boolean',
      storedMessages: 'number?',
      storedLastId: 'text?',
    },
    meaning:
      'An earlier run stored the object and could not acknowledge it; if the contents differ, the run continues after the last stored message.',
  },
  'schema stored': {
    level: 'info',
    fields: { key: 'text', bytes: 'number' },
    meaning: 'A schema of messages is stored, before the first object that needs it.',
  },
  'schema not kept': {
    level: 'warn',
    fields: { version: 'text', reason: 'text', hint: 'text?' },
    meaning:
      'The schema of a message is not available; a run logs the first such schema, and `schemasMissing` counts all. The messages are stored unchanged, and the next run with this version asks again.',
  },
  'entry unreadable': {
    level: 'error',
    fields: {
      key: 'text',
      topic: 'text',
      ledgerId: 'number',
      entryId: 'number',
      reason: 'text',
      hint: 'text?',
    },
    meaning:
      'An entry cannot be decoded; its raw bytes are at `key`, and `archive recover` may decode them later.',
  },
  'chunked message incomplete': {
    level: 'warn',
    fields: {
      topic: 'text',
      uuid: 'text',
      firstEntry: 'text',
      held: 'number',
      chunks: 'number',
      publishTime: 'text',
    },
    meaning:
      'The last chunk of a message is missing (`held` of `chunks` have arrived); the message waits for the rest.',
  },
  'chunked message left for a later run': {
    level: 'warn',
    fields: { topic: 'text', uuid: 'text', hint: 'text' },
    meaning: 'A chunked message does not fit into memory beside others of this run.',
  },
  'backlog held back': {
    level: ['info', 'warn'],
    fields: { topic: 'text', entries: 'number?', reason: 'text', hint: 'text' },
    meaning: 'The broker does not deliver the rest of the backlog; at `warn` if the reason is `unknown`.',
  },
  'subscription moved': {
    level: 'warn',
    fields: {
      partition: 'number',
      topic: 'text',
      direction: ['forwards', 'backwards'],
      from: 'text',
      to: 'text',
      entriesAtMost: 'number?',
      hint: 'text',
    },
    meaning:
      'Somebody moved the subscription since the previous run; `entriesAtMost` is the largest possible number of skipped entries, if the ids show it.',
  },
  'acknowledgements came back': {
    level: 'info',
    fields: { topic: 'text', partition: 'number', from: 'text', to: 'text' },
    meaning:
      'The subscription is back at the end of an earlier object, for example after a broker was killed; the run finds the redelivered messages stored.',
  },
  'earlier runs not read': {
    level: ['warn', 'debug'],
    fields: { error: 'error' },
    meaning:
      'The run cannot check whether the subscription was moved; at `debug` if it only ran out of time.',
  },
  'upload retried': {
    level: 'warn',
    fields: retried,
    meaning: 'A call that writes to COS failed; the run retries it after `delayMs`.',
  },
  'read retried': {
    level: 'warn',
    fields: retried,
    meaning: 'A call that reads from COS failed; the run retries it after `delayMs`.',
  },
  'clock corrected to that of COS': {
    level: 'warn',
    fields: { offsetMs: 'number' },
    meaning: 'The clock of this machine is off; signatures use the time of COS.',
  },
  'versioning found: each object is looked for before it is created, since COS would replace it': {
    level: 'warn',
    fields: { bucket: 'text', versioning: ['Enabled', 'Suspended'] },
    meaning: 'The bucket has or had versioning, so COS ignores the header that forbids overwriting.',
  },
  'versioning could not be asked for: each object is looked for before it is created': {
    level: 'warn',
    fields: { bucket: 'text', action: 'text' },
    meaning: 'The run role lacks `name/cos:GetBucketVersioning`; each object costs one more request.',
  },
  'PULSAR_LISTENER_NAME ignored: brokers before Pulsar 2.8 do not know it over http:// and https://': {
    level: 'warn',
    fields: { listenerName: 'text', broker: 'text' },
    meaning: 'The broker returns the same address for every listener name; the run uses that address.',
  },
  'partition missing': {
    level: 'warn',
    fields: { topic: 'text', reason: 'text' },
    meaning:
      "The broker has deleted a partition that the topic's metadata lists, and does not create it again: it is empty.",
  },
  'consumer lost': {
    level: 'warn',
    fields: { topic: 'text', reason: 'text?' },
    meaning: "The connection to a partition's broker is lost; the run reconnects.",
  },
  'consumer reconnected': {
    level: 'info',
    fields: { topic: 'text' },
    meaning: 'The consumer of a partition is connected again.',
  },
  'receive queue shortened': {
    level: 'debug',
    fields: { topic: 'text', queueSize: 'number' },
    meaning: '`native`: messages are so large that fewer of them fit into the queue.',
  },
  'entries never delivered: undecodable ones are dropped by this driver, markers look the same': {
    level: 'error',
    fields: {
      topic: 'text',
      ledgerId: 'number',
      fromEntryId: 'number',
      toEntryId: 'number',
      missing: 'number',
    },
    meaning: '`native`: the ids of the delivered entries have a gap; `wire` keeps such entries.',
  },
  'entry delivered without its last messages': {
    level: 'warn',
    fields: {
      topic: 'text',
      ledgerId: 'number',
      entryId: 'number',
      messages: 'number',
      published: 'number',
    },
    meaning: '`native`: a batch arrived with fewer messages than its producer published.',
  },
  'consumer not closed': {
    level: 'warn',
    fields: { topic: 'text', reason: 'text' },
    meaning: '`native`: closing a consumer failed; what is stored is safe.',
  },
  'consumer did not close in time': {
    level: 'warn',
    fields: { topic: 'text' },
    meaning: '`native`: closing a consumer took too long; what is stored is safe.',
  },
  'pulsar client not closed': {
    level: 'warn',
    fields: { reason: 'text' },
    meaning: '`native`: closing the client failed; what is stored is safe.',
  },
  'pulsar client did not close in time': {
    level: 'warn',
    fields: {},
    meaning: '`native`: closing the client took too long; what is stored is safe.',
  },
  'libpulsar said': {
    level: ['debug', 'warn', 'error'],
    fields: { at: 'text', text: 'text' },
    meaning: "`native`: a line of the client's own log, at its level there.",
  },
  'partition failed': {
    level: 'error',
    fields: { topic: 'text?', error: 'error' },
    meaning:
      'The run stores and acknowledges what it had read from the partition, and drains the other partitions; `run failed` has the most severe error.',
  },
  'more partitions failed': {
    level: 'error',
    fields: { partitions: 'number' },
    meaning: 'The number of failed partitions beyond the ten that are logged individually.',
  },
  'run manifest not stored': {
    level: 'warn',
    fields: { error: 'error', hint: 'text' },
    meaning:
      'There was no time left for the manifest, or a failed run could not write it; the messages are safe.',
  },
  'orphaned upload aborted': {
    level: 'info',
    fields: { key: 'text', initiated: 'text' },
    meaning: 'The run removed an unfinished upload of a killed run.',
  },
  'orphaned uploads not cleaned up': {
    level: 'warn',
    fields: { error: 'error' },
    meaning: "Unfinished uploads could not be removed; the run's role may not list them.",
  },
  'run finished': {
    level: 'info',
    fields: summary('caught_up', 'deadline', 'busy'),
    meaning: 'The last line of a run that succeeded, with its summary.',
  },
  'run failed': {
    level: 'error',
    fields: { error: 'error', ...summary('failed') },
    meaning: 'The last line of a run that failed: why, what to do, and the summary of what it stored.',
  },
} as const satisfies Record<string, LogEvent>;

/** The message of an event. */
export type LogMessage = keyof typeof LOG_EVENTS;

type LevelOf<M extends LogMessage> = (typeof LOG_EVENTS)[M]['level'] extends infer L
  ? L extends readonly (infer One)[]
    ? One
    : L
  : never;

/** The messages that may be logged at a level. */
export type LogMessageAt<L extends Level> = {
  [M in LogMessage]: L extends LevelOf<M> ? M : never;
}[LogMessage];

type ValueOf<T> = T extends 'text' | 'text?'
  ? string
  : T extends 'number' | 'number?'
    ? number
    : T extends 'boolean'
      ? boolean
      : T extends 'text|number'
        ? string | number
        : T extends readonly (infer Text)[]
          ? Text
          : unknown;

type FieldsFrom<Types> = {
  readonly [Name in keyof Types as Types[Name] extends `${string}?` ? never : Name]: ValueOf<Types[Name]>;
} & {
  readonly [Name in keyof Types as Types[Name] extends `${string}?` ? Name : never]?:
    | ValueOf<Types[Name]>
    | undefined;
};

/** The fields of an event. */
export type LogFields<M extends LogMessage> = M extends LogMessage
  ? FieldsFrom<(typeof LOG_EVENTS)[M]['fields']>
  : never;

/** `Given`, where every field that is not in `Known` is forbidden. */
export type Exactly<Known, Given extends Known> = Given & {
  readonly [Name in Exclude<keyof Given, keyof Known>]: never;
};
