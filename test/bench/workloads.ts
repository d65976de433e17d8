// What is drained: topics that are filled once and read by every side from their beginning.

export interface Workload {
  readonly name: string;
  readonly topic: string;
  readonly partitions: number;
  readonly count: number;
  /** Bytes of a payload. */
  readonly size: number;
  readonly batching: boolean;
  /** Of text that hardly compresses. */
  readonly random?: boolean;
}

function workload(name: string, partitions: number, count: number, size: number, batching = true): Workload {
  return {
    name,
    topic: name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '_'),
    partitions,
    count,
    size,
    batching,
  };
}

/** The four that every side is measured with. `scale` 1 is the full size. */
export const mainWorkloads = (scale: number): readonly Workload[] => [
  workload('W1: 4 partitions, 1 KiB', 4, Math.ceil(400_000 * scale), 1_024),
  workload('W2: 1 partition, 100 kB', 1, Math.ceil(5_000 * scale), 100_000),
  workload('W3: 16 partitions, 200 B', 16, Math.ceil(100_000 * scale), 200),
  workload('W4: 4 partitions, 1 KiB unbatched', 4, Math.ceil(50_000 * scale), 1_024, false),
];

/** Throughput against partitions, then against the size of a message. */
export const growthWorkloads = (scale: number): readonly Workload[] => [
  ...[1, 4, 16, 64].map((partitions) =>
    workload(`${partitions} partitions, 1 KiB`, partitions, Math.ceil(200_000 * scale), 1_024),
  ),
  ...[100, 1_000, 10_000, 100_000, 1_000_000].map((size) =>
    workload(
      `4 partitions, ${size} B`,
      4,
      Math.ceil(Math.min(400_000, Math.max(300, 300_000_000 / size)) * scale),
      size,
    ),
  ),
];

/** What several instances of one Failover subscription share. */
export const sharedWorkload = (scale: number): Workload =>
  workload('16 partitions, 1 KiB, Failover', 16, Math.ceil(400_000 * scale), 1_024);

/** The same of services that are far away; less of it, since it takes longer. */
export const distantWorkload = (scale: number): Workload =>
  workload(
    '16 partitions, 1 KiB, Failover, COS 50 ms and broker 2 ms away',
    16,
    Math.ceil(160_000 * scale),
    1_024,
  );

/** Pairs of backlogs of which the second is ten times the first: of small messages, and of files of 500 MB. */
export const longWorkloads = (scale: number): readonly (readonly [Workload, Workload])[] => [
  [
    workload('backlog of 400,000, 1 KiB', 4, Math.ceil(400_000 * scale), 1_024),
    workload('backlog of 4,000,000, 1 KiB', 4, Math.ceil(4_000_000 * scale), 1_024),
  ],
  [
    workload('backlog of one file of 500 MB', 1, Math.ceil(5_000 * scale), 100_000),
    workload('backlog of ten files of 500 MB', 1, Math.ceil(50_000 * scale), 100_000),
  ],
];

/** What is compressed in each way: JSON that repeats itself, and text that hardly compresses. */
export const compressionWorkloads = (scale: number): readonly Workload[] => {
  const json = workload('repetitive JSON', 4, Math.ceil(200_000 * scale), 1_024);
  return [json, { ...json, name: 'random text', topic: 'random_text', random: true }];
};

/** What a million messages are reckoned from. */
export const pricedWorkloads = (scale: number): readonly Workload[] =>
  [4, 64].map((partitions) =>
    workload(`${partitions} partitions, for prices`, partitions, Math.ceil(320_000 * scale), 1_024),
  );

/** As many as a busy topic has. */
export const LINGERING_PARTITIONS = 64;

/** So many messages in each partition, which fill no file. */
export const lingeringWorkload = (each: number): Workload =>
  workload(
    `${LINGERING_PARTITIONS} partitions, ${each} waiting`,
    LINGERING_PARTITIONS,
    LINGERING_PARTITIONS * each,
    1_024,
  );
