// `--map OLD=NEW` of `archive restore`: which topic of the archive goes to which topic. A topic that none names is refused,
// not left behind without a word.
import { parseTopicName, type TopicName } from '../../topic-name.ts';
import { UsageError } from '../usage-error.ts';

/** A topic of the archive, and where it goes. */
export interface TopicPair {
  readonly source: TopicName;
  readonly target: TopicName;
}

export interface TopicMap {
  readonly text: string;
  /** May have one `*` in the name of its topic. */
  readonly from: TopicName;
  /** `undefined`: it is left out. */
  readonly to: TopicName | undefined;
}

/** Parses what was given with `--map`. @throws UsageError */
export function parseMaps(texts: readonly string[]): TopicMap[] {
  const maps = texts.map(parseMap);
  for (const [i, { from, text }] of maps.entries())
    if (maps.findIndex((one) => one.from.full === from.full) !== i)
      throw new UsageError(`--map ${text}: another --map names the same topic`);
  return maps;
}

function parseMap(text: string): TopicMap {
  const found: TopicMap[] = [];
  // Names may have a "=" themselves.
  for (let at = text.indexOf('='); at >= 0; at = text.indexOf('=', at + 1)) {
    const [from, to] = [parseTopicName(text.slice(0, at)), parseTopicName(text.slice(at + 1))];
    if (from !== undefined && (to !== undefined || at === text.length - 1)) found.push({ text, from, to });
  }
  const [map] = found;
  if (map === undefined || found.length > 1)
    throw new UsageError(
      `--map ${text}: expected OLD=NEW, two topics such as t/ns/orders=t/ns/replay, or t/ns/*=t/other/*`,
    );
  const stars = (topic: TopicName | undefined) => (topic?.full.match(/\*/g) ?? []).length;
  if (stars(map.from) > 1 || stars(map.to) > stars(map.from) || map.from.namespace.includes('*'))
    throw new UsageError(
      `--map ${text}: one * may be in the name of a topic, and in NEW only where OLD has it`,
    );
  return map;
}

/**
 * The topics, each with its target. One that is named as it is goes by that, others by the pattern that fits; those that
 * are named and not among `topics` are there as well, so that they are missed; `only`: none but this one. @throws UsageError
 */
export function pairTopics(
  topics: readonly TopicName[],
  maps: readonly TopicMap[],
  only?: TopicName,
): TopicPair[] {
  const isMeant = ({ from }: TopicMap) => only === undefined || isPattern(from) || from.full === only.full;
  const meant = maps.filter(isMeant);
  const exact = new Map(meant.filter(({ from }) => !isPattern(from)).map((map) => [map.from.full, map]));
  const patterns = meant.filter(({ from }) => isPattern(from));
  const byName = new Map(topics.map((topic) => [topic.full, topic]));
  for (const { from } of exact.values()) byName.set(from.full, from);
  const unmapped: string[] = [];
  const pairs: TopicPair[] = [];
  const used = new Set<TopicMap>(exact.values());
  for (const source of byName.values()) {
    const fitting = patterns.filter(({ from }) => starOf(from, source) !== undefined);
    const own = exact.get(source.full);
    if (own === undefined && fitting.length > 1)
      throw new UsageError(
        `${source.full} fits --map ${fitting.map(({ text }) => text).join(' and --map ')}: name it by itself`,
      );
    const map = own ?? fitting[0];
    if (map === undefined) unmapped.push(source.full);
    else {
      used.add(map);
      if (map.to !== undefined) pairs.push({ source, target: targetOf(map, map.to, source) });
    }
  }
  if (unmapped.length > 0)
    throw new UsageError(
      `no --map names ${unmapped.slice(0, 10).join(', ')}${unmapped.length > 10 ? ' and more' : ''}; --map OLD= leaves a topic out`,
    );
  for (const map of patterns)
    if (only === undefined && !used.has(map))
      throw new UsageError(`--map ${map.text}: the archive has no topic that fits`);
  if (pairs.length === 0) throw new UsageError('every --map leaves its topic out: nothing is to be restored');
  return pairs;
}

const isPattern = ({ topic }: TopicName): boolean => topic.includes('*');

/** What the `*` means in this topic; `undefined` where the pattern does not fit. */
function starOf(pattern: TopicName, topic: TopicName): string | undefined {
  if (pattern.tenant !== topic.tenant || pattern.namespace !== topic.namespace) return undefined;
  const [before, behind] = pattern.topic.split('*') as [string, string];
  const { topic: name } = topic;
  const fits =
    name.length >= before.length + behind.length && name.startsWith(before) && name.endsWith(behind);
  return fits ? name.slice(before.length, name.length - behind.length) : undefined;
}

function targetOf({ text, from }: TopicMap, to: TopicName, source: TopicName): TopicName {
  if (!isPattern(from)) return to;
  const name = to.topic.replace('*', () => starOf(from, source) as string);
  const target = parseTopicName(`${to.tenant}/${to.namespace}/${name}`);
  if (target === undefined) throw new UsageError(`--map ${text}: ${source.full} would go to no topic`);
  return target;
}
