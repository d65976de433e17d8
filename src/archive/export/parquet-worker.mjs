// The thread of parquet-file.ts: DuckDB writes one Parquet file after the other from lines that come in pieces, and waits
// where none has come: a table function of DuckDB's has to answer at once, so it has a thread of its own to wait in.
import { createRequire } from 'node:module';
import { MessageChannel, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';

// An import looks through its 60 CommonJS files for what they export, which takes twice as long as to load them.
const { BLOB, DuckDBInstance, DuckDBTableFunction } = createRequire(import.meta.url)('@duckdb/node-api');
const { port, pieces, folder, pieceBytes } = workerData;

/** What goes here is freed at once, instead of when V8 looks for it. */
const nowhere = new MessageChannel().port1;
nowhere.close();

const instance = await DuckDBInstance.create(':memory:', {
  // Rows stay in their order with one thread.
  threads: '1',
  preserve_insertion_order: 'false',
  temp_directory: folder,
  autoinstall_known_extensions: 'false',
  autoload_known_extensions: 'false',
});
const connection = await instance.connect();
await connection.run("SET TimeZone = 'UTC'");

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

connection.registerTableFunction(
  DuckDBTableFunction.create({
    name: 'rows_to_write',
    bindFunction: (info) => info.addResultColumn('lines', BLOB),
    initFunction: (info) => info.setMaxThreads(1),
    mainFunction(info, output) {
      const piece = nextPiece();
      if (piece === null) {
        info.setError('given up');
        return;
      }
      output.rowCount = piece.byteLength > 0 ? 1 : 0;
      if (piece.byteLength === 0) return;
      const column = output.getColumnVector(0);
      column.setItem(0, { bytes: piece });
      column.flush();
      giveBack(piece);
    },
  }),
);

parentPort?.on('message', async ({ file: next, sql }) => {
  file = next;
  try {
    const { rowsChanged } = await connection.run(sql);
    parentPort?.postMessage({ rows: rowsChanged });
  } catch (error) {
    parentPort?.postMessage({ fault: String(error?.message ?? error) });
  }
});
parentPort?.postMessage({ isReady: true });
