/**
 * The service as it is shipped, in the unit's sandbox, against clients of its HTTP interface that send 10,000 requests
 * ahead and never read. How long answers took is printed, for people to judge.
 */
import assert from "node:assert/strict";
import { SIZE } from "../support/sizes.ts";
import { runLab } from "./service_support.ts";

/** What the clients may cost. */
const FLOOD_KIB = 32 * 1024;

interface Asked {
  readonly answers: number;
  /** Status and body of each answer that is not 200; status 0 where none came. */
  readonly refused: readonly string[];
}

interface Result {
  readonly process: { readonly seccomp: string; readonly uid: string };
  readonly ended: number;
  readonly memory: { readonly "before KiB": number; readonly "peak KiB": number };
  readonly readyz: { readonly socket: Asked; readonly TCP: Asked };
  readonly "same process": boolean;
  readonly restarts: string;
  readonly packets: { readonly sent: number; readonly counted: number; readonly redirected: number };
  readonly stopped: string;
}

Deno.test("the package's service, under a real systemd: clients that pipeline cost no beat, no answer, no packet", async () => {
  const result = await runLab<Result>({ lab: "service_http_lab.py", args: [SIZE.floodedSeconds] });
  await Deno.stderr.write(new TextEncoder().encode(`${JSON.stringify(result)}\n`));
  const { process, ended, memory, readyz, packets } = result;
  assert.notEqual(process.uid, "0");
  assert.equal(process.seccomp, "2", "it is in its sandbox");
  assert.ok(ended > 0 || SIZE.floodedSeconds < 10, "connections that took nothing were ended");
  assert.deepEqual([result["same process"], result.restarts, result.stopped], [true, "0", "success"], "no beat missed");
  for (const [where, { answers, refused }] of Object.entries(readyz)) {
    assert.ok(answers > 0, where);
    assert.deepEqual(refused, [], `/readyz was answered, on the ${where}`);
  }
  assert.ok(memory["peak KiB"] < memory["before KiB"] + FLOOD_KIB, JSON.stringify(memory));
  assert.deepEqual([packets.counted, packets.redirected], [packets.sent, packets.sent]);
});
