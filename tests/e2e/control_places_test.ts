/** Places on the control socket: a member of its group locks out nobody. */
import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { startAppliance } from "./support/appliance.ts";
import { TempDir } from "./support/command.ts";
import { CONNECT } from "./support/http_clients.ts";

const GID = 54321;
const [EVE, ANN] = [65534, 65533];
const CLIENTS = 200;
const SECONDS = 6;
const PYTHON = "/usr/bin/python3";

/** Requests whose body comes a byte a second, if at all, on connections that are opened again when they are closed. */
const CRAWL = `
import json, socket, sys, time
${CONNECT}
path, count, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
HEAD = b"PUT /v1/config HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Length: 1000000\\r\\n"
STARTS = [HEAD + b"\\r\\nversion", HEAD + b"Expect: 100-continue\\r\\n\\r\\n", HEAD[:40]]
end, opened, open_ = time.monotonic() + seconds, 0, []
while time.monotonic() < end:
    alive = []
    for one in open_:
        try: one.send(b"#"); alive.append(one)
        except OSError: one.close()
    open_ = alive
    while len(open_) < count and time.monotonic() < end:
        try:
            one = connect(path)
            one.sendall(STARTS[opened % len(STARTS)])
            open_.append(one)
        except OSError: pass
        opened += 1
        if opened % count == 0: break
    time.sleep(0.2)
print(json.dumps(opened))
`;

/** Asks again and again. */
const ASK = `
import json, socket, sys, time
${CONNECT}
path, count = sys.argv[1], int(sys.argv[2])
statuses = {}
for _ in range(count):
    try: status = ask(path, "/readyz")[9:12].decode()
    except OSError as error: status = repr(error)
    statuses[status] = statuses.get(status, 0) + 1
    time.sleep(0.1)
print(json.dumps(statuses))
`;

Deno.test("who crawls on every place of the control socket keeps neither root nor other users out", async () => {
  await using directory = await TempDir.create();
  await Deno.chmod(directory.path, 0o755);
  await using network = await TestNetwork.create();
  await using box = await startAppliance(
    network,
    { rules: ["{ name: game, ports: 8080, worker: 0 }"], group: GID },
    { as: ["setpriv", "--groups", `${GID}`], directory: directory.path },
  );
  const run = async <T>(uid: number, script: string, ...args: readonly (number | string)[]): Promise<T> => {
    const user = [
      "setpriv",
      `--reuid=${uid}`,
      uid === 0 ? "--" : `--regid=${GID}`,
      ...uid === 0 ? [] : ["--clear-groups"],
    ];
    return JSON.parse(await network.exec("steer", [...user, PYTHON, "-c", script, ...args.map(String)]));
  };
  let isOver = false;
  const crawling = run<number>(EVE, CRAWL, box.socket, CLIENTS, SECONDS).finally(() => isOver = true);
  crawling.catch(() => {}); // awaited below
  const asked: Record<string, unknown>[] = [];
  while (!isOver) {
    asked.push(...await Promise.all([0, ANN, EVE].map((uid) => run<Record<string, number>>(uid, ASK, box.socket, 5))));
  }
  assert.ok(await crawling >= CLIENTS);
  const [root, ann, eve] = [0, 1, 2].map((who) => asked.filter((_, at) => at % 3 === who));
  for (const statuses of [...root!, ...ann!]) assert.deepEqual(Object.keys(statuses), ["200"], JSON.stringify(asked));
  // Her own crowd may take a place of hers before she has asked.
  assert.ok(eve!.some((statuses) => "200" in statuses), JSON.stringify(asked));
});
