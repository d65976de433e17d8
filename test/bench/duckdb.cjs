// DuckDB as people use it, for bench:archive --tables: `copy LINES FILE`, `tables FILES QUERY`, `lines LINES QUERY`.
const { DuckDBInstance } = require('@duckdb/node-api');

const [what, from, rest] = process.argv.slice(2);
const lines = `read_json('${from}', format = 'newline_delimited')`;
const sql = {
  copy: () => `COPY (FROM ${lines}) TO '${rest}' (FORMAT parquet, COMPRESSION zstd)`,
  tables: () => `WITH messages AS (FROM read_parquet('${from}', hive_partitioning = true)) ${rest}`,
  lines: () => `WITH lines AS (FROM ${lines}) ${rest}`,
};

(async () => {
  const connection = await (await DuckDBInstance.create(':memory:')).connect();
  await connection.runAndReadAll(sql[what]());
})().catch((error) => {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
});
