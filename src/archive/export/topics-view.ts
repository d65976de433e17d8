// The tables of several topics as one, in SQL. Payloads of different types have no type together: where topics differ they
// are JSON text. It reads the ends of files alone.
import type { DuckDBConnection } from '@duckdb/node-api';
import { sqlName, sqlText } from './columns.ts';

/** A SELECT of all rows, with the name of the topic of each. `folder` has the tables of a topic. */
export async function selectOfTopics(
  connection: DuckDBConnection,
  topics: readonly { readonly topic: string; readonly folder: string }[],
): Promise<string> {
  const tables = topics.map(
    ({ folder }) =>
      `read_parquet(${sqlText(`${folder}/**/*.parquet`)}, hive_partitioning = true, union_by_name = true)`,
  );
  const described = topics.length > 1 ? await Promise.all(tables.map(typesOf)) : [];
  const known = new Map<string, Set<string>>();
  for (const types of described)
    for (const [name, type] of types) known.set(name, (known.get(name) ?? new Set()).add(type));

  async function typesOf(table: string): Promise<[name: string, type: string][]> {
    const rows = await (await connection.run(`DESCRIBE FROM ${table}`)).getRows();
    return rows.map(([name, type]) => [String(name), String(type)]);
  }

  const selects = topics.map(({ topic }, i) => {
    const others = (described[i] ?? []).filter(
      ([name, type]) => type !== 'VARCHAR' && (known.get(name)?.size ?? 0) > 1,
    );
    const texts = others.map(([name]) => `to_json(${sqlName(name)})::VARCHAR AS ${sqlName(name)}`);
    const columns = texts.length > 0 ? `* REPLACE (${texts.join(', ')})` : '*';
    return `SELECT ${sqlText(topic)} AS topic, ${columns} FROM ${tables[i]}`;
  });
  return selects.join(' UNION ALL BY NAME ');
}
