// Every event that the function logs, as data: its message, its level, its fields, and what it means to who operates a
// rule. ports.ts types the logger by it, so nothing else can be logged; the table of docs/operations.md is held to it.

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
  /** Several, where the case decides. */
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
      "The function's time-out or memory is so low that a run stores little: mostly SCF's own 3 s or 128 MB, which nobody chose.",
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
    meaning: 'An object is complete in COS, its checksum compared; its messages are acknowledged next.',
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
      'An earlier run stored the object and could not acknowledge it; if it is not the same, the run goes on behind its last message.',
  },
  'schema stored': {
    level: 'info',
    fields: { key: 'text', bytes: 'number' },
    meaning: 'A schema that messages name is kept, before the first object that needs it.',
  },
  'schema not kept': {
    level: 'warn',
    fields: { version: 'text', reason: 'text', hint: 'text?' },
    meaning:
      'The schema of a version that messages name cannot be had; the first of a run is logged, `schemasMissing` counts all. The messages are stored as they are, and the next run that meets the version asks again.',
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
    meaning: 'The last chunk of a message has not come (`held` of `chunks` have); it waits for the rest.',
  },
  'chunked message left for a later run': {
    level: 'warn',
    fields: { topic: 'text', uuid: 'text', hint: 'text' },
    meaning: 'A message in chunks does not fit into memory beside others of this run.',
  },
  'backlog held back': {
    level: ['info', 'warn'],
    fields: { topic: 'text', entries: 'number?', reason: 'text', hint: 'text' },
    meaning: 'The broker does not hand out what is left; at `warn` if the reason is `unknown`.',
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
      'Somebody else has moved the subscription since the run before; `entriesAtMost` is how many entries it passed over at most, if ids say so.',
  },
  'acknowledgements came back': {
    level: 'info',
    fields: { topic: 'text', partition: 'number', from: 'text', to: 'text' },
    meaning:
      'The subscription is back where an earlier object ends, as after the kill of a broker; what comes again is found stored.',
  },
  'earlier runs not read': {
    level: ['warn', 'debug'],
    fields: { error: 'error' },
    meaning: 'The run cannot know whether the subscription was moved; at `debug` if only its time was over.',
  },
  'upload retried': {
    level: 'warn',
    fields: retried,
    meaning: 'A call that stores something in COS failed and is tried again after `delayMs`.',
  },
  'read retried': {
    level: 'warn',
    fields: retried,
    meaning: 'A call that reads from COS failed and is tried again after `delayMs`.',
  },
  'clock corrected to that of COS': {
    level: 'warn',
    fields: { offsetMs: 'number' },
    meaning: 'The clock of this machine is off; signatures use the time of COS.',
  },
  'versioning found: each object is looked for before it is created, since COS would replace it': {
    level: 'warn',
    fields: { bucket: 'text', versioning: ['Enabled', 'Suspended'] },
    meaning: 'The bucket ever had versioning, which ignores the header that forbids overwriting.',
  },
  'versioning could not be asked for: each object is looked for before it is created': {
    level: 'warn',
    fields: { bucket: 'text', action: 'text' },
    meaning: 'The run role lacks `name/cos:GetBucketVersioning`; each object costs one more request.',
  },
  'PULSAR_LISTENER_NAME ignored: brokers before Pulsar 2.8 do not know it over http:// and https://': {
    level: 'warn',
    fields: { listenerName: 'text', broker: 'text' },
    meaning: 'The broker gives the same address whatever listener is named; the run uses that address.',
  },
  'partition missing': {
    level: 'warn',
    fields: { topic: 'text', reason: 'text' },
    meaning:
      "The broker has deleted a partition that the topic's metadata lists, and makes none: it is empty.",
  },
  'consumer lost': {
    level: 'warn',
    fields: { topic: 'text', reason: 'text?' },
    meaning: "The connection to a partition's broker is gone; the run connects again.",
  },
  'consumer reconnected': {
    level: 'info',
    fields: { topic: 'text' },
    meaning: 'The consumer of a partition is back.',
  },
  'receive queue shortened': {
    level: 'debug',
    fields: { topic: 'text', queueSize: 'number' },
    meaning: '`native`: messages are so large that fewer of them may wait in memory.',
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
    meaning: '`native`: there is a gap in the ids of what it delivered; `wire` keeps such entries.',
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
    meaning: '`native`: a batch came with fewer messages than its producer published.',
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
    meaning: "`native`: a line of the client's own log, at the level that it has there.",
  },
  'partition failed': {
    level: 'error',
    fields: { topic: 'text?', error: 'error' },
    meaning:
      'What was taken from the partition before is stored and acknowledged, and the other partitions are drained; `run failed` has the gravest error.',
  },
  'more partitions failed': {
    level: 'error',
    fields: { partitions: 'number' },
    meaning: 'So many failed besides the ten that are logged one by one.',
  },
  'run manifest not stored': {
    level: 'warn',
    fields: { error: 'error', hint: 'text' },
    meaning:
      'The clock left no time for the manifest, or a failed run could not leave one; the messages are safe.',
  },
  'orphaned upload aborted': {
    level: 'info',
    fields: { key: 'text', initiated: 'text' },
    meaning: 'The run removed an unfinished upload that a killed run had left.',
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

/** `Given`, with each field forbidden that is none of `Known`. */
export type Exactly<Known, Given extends Known> = Given & {
  readonly [Name in Exclude<keyof Given, keyof Known>]: never;
};
