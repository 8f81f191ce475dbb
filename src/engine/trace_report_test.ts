import assert from "node:assert/strict";
import type { RedirectError } from "../bpf/trace.ts";
import { LogRecords } from "../../tests/support/log_records.ts";
import { reportRest, reportTrace } from "./trace_report.ts";

const WATCHED = { name: "eth0", workers: 3, xskMapId: 77 };
/** Queue 2, worker 1: queues are rows of workers in the map. */
const INDEX = 2 * 3 + 1;

function redirectError(errno: string): RedirectError {
  return { kind: "redirect_err", interface: 0, errno, mapId: 77, index: INDEX, suppressed: 5 };
}

Deno.test("reportTrace() says of each redirect error which worker and queue it is, and what to do", () => {
  const says: Readonly<Record<string, RegExp>> = {
    ENOBUFS: /^warning: The rx ring of worker 1 on queue 2 of eth0 is full.* enlarge rings\.rx/,
    ENOMEM: /^warning: The fill ring of queue 2 of eth0 is empty, and packets for worker 1 .* umem\.chunks/,
    ENOSPC: /^warning: A packet for worker 1 on queue 2 of eth0 was dropped: it is larger than a chunk/,
    EINVAL: /^warning: The socket of worker 1 is not bound to queue 2 of eth0/,
    ENXIO: /^warning: The socket of worker 1 on queue 2 of eth0 is closed/,
    EOPNOTSUPP: /^warning: Packets for worker 1 on queue 2 of eth0 are dropped: .* \(EOPNOTSUPP\)/,
  };
  for (const [errno, pattern] of Object.entries(says)) {
    using log = new LogRecords();
    reportTrace(WATCHED, redirectError(errno), () => false);
    assert.equal(log.lines.length, 1);
    assert.match(log.lines[0]!, pattern);
    assert.match(log.lines[0]!, / \(5 more were not reported\)$/);
    const { queue, worker } = log.records[0]!.properties;
    assert.deepEqual({ queue, worker, errno: log.records[0]!.properties.errno }, { queue: 2, worker: 1, errno });
  }
});

Deno.test("reportTrace() does not ask for larger rings where the worker stood still", () => {
  using log = new LogRecords();
  reportTrace(WATCHED, redirectError("ENOBUFS"), (worker) => worker === 1);
  assert.match(log.lines[0]!, /^warning: The rx ring of worker 1 on queue 2 of eth0 is full.* the worker stood still/);
  assert.doesNotMatch(log.lines[0]!, /enlarge/);
});

Deno.test("reportTrace() takes no other program's failures for those of a worker", () => {
  using log = new LogRecords();
  reportTrace(WATCHED, { ...redirectError("ENOBUFS"), mapId: 78, suppressed: 0 }, () => true);
  for (const act of ["XDP_ABORTED", "XDP_TX", "77"]) {
    reportTrace(WATCHED, { kind: "exception", interface: 0, act, suppressed: 0 }, () => true);
  }
  const says = [
    /A redirect of another XDP program on eth0 failed with ENOBUFS/,
    /returned XDP_ABORTED, and the packet was dropped/,
    /returned XDP_TX, and the driver could not send/,
    /returned 77, which is no verdict/,
  ];
  assert.equal(log.lines.length, says.length);
  for (const [index, pattern] of says.entries()) {
    assert.match(log.lines[index]!, pattern);
    assert.doesNotMatch(log.lines[index]!, /worker|queue/);
  }
});

Deno.test("reportRest() says how many were held back, and of what", () => {
  using log = new LogRecords();
  reportRest("eth0", "ENOMEM", 1234);
  assert.equal(log.records[0]!.properties.suppressed, 1234);
  assert.match(log.lines[0]!, /1234 .*eth0.*ENOMEM/);
});
