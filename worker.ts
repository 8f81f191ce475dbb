/**
 * The entry of the worker threads, beside that of the process. It is bundled in one piece: what a module declares
 * itself and never changes becomes part of the code, and what it imports from another piece is looked up at each use.
 *
 * @module
 */
import { parentPort } from "node:worker_threads";
import { serveAsWorker } from "./src/dataplane/worker.ts";

serveAsWorker(parentPort!);
