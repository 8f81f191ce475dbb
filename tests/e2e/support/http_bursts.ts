/**
 * A probe of the HTTP interface among clients that come, send much and leave, or say nothing.
 *
 * @module
 */
import type { TestNetwork } from "../../support/netns.ts";
import { type Burst, CONNECT } from "./http_clients.ts";
import { python } from "./python.ts";

/** What a probe was answered while others came and left. */
export interface ProbeReport {
  /** How often each status came; 0: the connection was ended without an answer, or refused. */
  readonly statuses: Readonly<Record<string, number>>;
  /** Connections of the others. */
  readonly bursts: number;
  /** Seconds. */
  readonly slowest: number;
}

/**
 * Clients that connect, send all of their requests, close, and come again at once, for some seconds; meanwhile one that
 * asks a path, time after time, each on a connection of its own, and waits for as long as it takes.
 */
export function probeAmongBursts(
  network: TestNetwork,
  options: Burst & {
    readonly path: string;
    readonly seconds: number;
    /** It goes on until there have been so many. */
    readonly probes: number;
  },
): Promise<ProbeReport> {
  return python(network, "steer", `${CONNECT}${PROBE_AMONG_BURSTS}`, options);
}

const PROBE_AMONG_BURSTS = `
import threading
over, bursts = threading.Event(), [0] * options["count"]
data = options["request"].encode() * options["times"]
def burst(index):
    while not over.is_set():
        try:
            with connect(options["to"]) as connection: connection.sendall(data)
        except OSError: pass
        bursts[index] += 1
threads = [threading.Thread(target=burst, args=(index,)) for index in range(options["count"])]
for thread in threads: thread.start()
while sum(bursts) < options["count"]: time.sleep(0.01)
end, statuses, slowest = time.monotonic() + options["seconds"], {}, 0
while time.monotonic() < end or sum(statuses.values()) < options["probes"]:
    began, answer = time.monotonic(), b""
    try: answer = ask(options["to"], options["path"])
    except OSError: pass
    status = answer.split(b" ")[1].decode() if answer else "0"
    statuses[status] = statuses.get(status, 0) + 1
    slowest = max(slowest, time.monotonic() - began)
    time.sleep(0.05)
over.set()
for thread in threads: thread.join()
print(json.dumps({"statuses": statuses, "bursts": sum(bursts), "slowest": slowest}))
`;

/** Opens connections that say nothing; with all of them open, asks for a path on another. @returns its first line. */
export function askInCrowd(
  network: TestNetwork,
  options: { readonly to: number; readonly count: number; readonly path: string },
): Promise<string> {
  return python(network, "steer", `${CONNECT}${ASK_IN_CROWD}`, options);
}

const ASK_IN_CROWD = `
crowd = []
for _ in range(options["count"]):
    crowd.append(connect(options["to"]))
    crowd[-1].sendall(b"GET / HT")
print(json.dumps(ask(options["to"], options["path"]).decode().split("\\r\\n")[0]))
`;
