// The versions of Pulsar that the tests start; all of them run on Java 17.

/** Maven has not all jars of others (2.8.4, 2.9.2, 2.9.5, 2.10.6). */
export type PulsarVersion = '2.7.2' | '2.8.1' | '2.9.1' | '2.10.1' | '3.0.0' | '3.0.7' | '4.0.7';

/** What tests start that name no version. */
export const NEWEST: PulsarVersion = '4.0.7';

/** Up to 2.10 a standalone broker brings its own ZooKeeper, and keeps its data by it. */
export const hasZooKeeper = (version: PulsarVersion): boolean => version.startsWith('2.');
