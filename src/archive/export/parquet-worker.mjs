// The thread of parquet-file.ts: DuckDB writes one Parquet file after the other from lines that come in pieces, and waits
// where none has come: a table function of DuckDB's has to answer at once, so it has a thread of its own to wait in.
import { createRequire } from 'node:module';
import { MessageChannel, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';

// What @duckdb/node-api is made of: its own 60 files take as long to load as all else that an export of a day does.
const duckDb = createRequire(createRequire(import.meta.url).resolve('@duckdb/node-api'))(
  '@duckdb/node-bindings',
);
const { port, pieces, folder, pieceBytes } = workerData;

/** What goes here is freed at once, instead of when V8 looks for it. */
const nowhere = new MessageChannel().port1;
nowhere.close();

const config = duckDb.create_config();
// Rows stay in their order with one thread.
duckDb.set_config(config, 'threads', '1');
duckDb.set_config(config, 'preserve_insertion_order', 'false');
duckDb.set_config(config, 'temp_directory', folder);
duckDb.set_config(config, 'autoinstall_known_extensions', 'false');
duckDb.set_config(config, 'autoload_known_extensions', 'false');
const connection = await duckDb.connect(await duckDb.open(':memory:', config));
await duckDb.query(connection, "SET TimeZone = 'UTC'");

/** Number of the file that is written; of one before, pieces may be left. */
let file = 0;

/** The next piece, when there is one; an empty one is the end, `null` gives the file up. */
function nextPiece() {
  for (;;) {
    const seen = Atomics.load(pieces, 0);
    const received = receiveMessageOnPort(port);
    if (received?.message.file === file) return received.message.piece;
    if (received !== undefined) continue;
    Atomics.wait(pieces, 0, seen);
  }
}

/** DuckDB has the bytes by now. Pieces of the usual size are filled again. */
function giveBack({ byteLength: sizeBytes, buffer }) {
  if (buffer.byteLength <= pieceBytes) {
    port.postMessage({ file, sizeBytes, spare: buffer }, [buffer]);
    return;
  }
  nowhere.postMessage(null, [buffer]);
  port.postMessage({ file, sizeBytes });
}

const rowsToWrite = duckDb.create_table_function();
duckDb.table_function_set_name(rowsToWrite, 'rows_to_write');
duckDb.table_function_set_bind(rowsToWrite, (info) =>
  duckDb.bind_add_result_column(info, 'lines', duckDb.create_logical_type(duckDb.Type.BLOB)),
);
duckDb.table_function_set_init(rowsToWrite, (info) => duckDb.init_set_max_threads(info, 1));
duckDb.table_function_set_function(rowsToWrite, (info, output) => {
  const piece = nextPiece();
  if (piece === null) {
    duckDb.function_set_error(info, 'given up');
    return;
  }
  duckDb.data_chunk_set_size(output, piece.byteLength > 0 ? 1 : 0);
  if (piece.byteLength === 0) return;
  duckDb.vector_assign_string_element_len(duckDb.data_chunk_get_vector(output, 0), 0, piece);
  giveBack(piece);
});
duckDb.register_table_function(connection, rowsToWrite);

parentPort?.on('message', async ({ file: next, sql }) => {
  file = next;
  Atomics.store(pieces, 1, 1);
  try {
    const written = await duckDb.query(connection, sql);
    parentPort?.postMessage({ rows: duckDb.rows_changed(written) });
  } catch (error) {
    parentPort?.postMessage({ fault: String(error?.message ?? error) });
  } finally {
    Atomics.store(pieces, 1, 0);
    Atomics.notify(pieces, 1);
  }
});
parentPort?.postMessage({ isReady: true });
