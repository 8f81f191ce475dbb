/** A user who asks for more changes than can be made, beside others, and one who does not wait for the answer. */
import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { startAppliance } from "./support/appliance.ts";
import { finish, TempDir } from "./support/command.ts";
import { configText } from "./support/config.ts";

const GROUP = 54_321;
const RULES = Array.from({ length: 900 }, (_, rule) => `{ name: q${rule}, ports: ${1000 + rule}, action: echo }`);

/** Offers changes all at once, each a mebibyte, and leaves, or stays until all are answered. */
const CROWD = `import socket, sys, threading
path, count, stay = sys.argv[1], 60, sys.argv[2] == "stay"
text = open(sys.argv[3]).read()
pad = "#" * (1040000 - len(text)) + "\\n"
def offer(number):
    s = socket.socket(socket.AF_UNIX); s.settimeout(60); s.connect(path)
    body = (pad + text.replace("q1,", "z%d," % number)).encode()
    head = b"PUT /v1/config HTTP/1.1\\r\\nHost: l\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n"
    s.sendall(head % len(body) + body)
    return s
ends = []
def run(number):
    try: ends.append(offer(number))
    except OSError: pass
threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
for t in threads: t.start()
for t in threads: t.join()
if stay:
    for s in ends:
        try:
            while s.recv(65536): pass
        except OSError: pass
`;

Deno.test("a user's many changes keep out neither root nor probes, and are not made once he has left", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  await Deno.chmod(directory.path, 0o755);
  const small = { rules: ["{ name: game, ports: 8080, action: echo }"], group: GROUP };
  const as = ["setpriv", "--groups", `${GROUP}`];
  await using box = await startAppliance(network, small, { directory: directory.path, as });
  const file = `${directory.path}/large.yaml`;
  await Deno.writeTextFile(file, configText({ rules: RULES, group: GROUP }, box.socket));
  await Deno.chmod(file, 0o644);
  const user = ["setpriv", "--reuid=65534", `--regid=${GROUP}`, "--clear-groups"];
  const crowd = (then: string) => finish(network, [...user, "/usr/bin/python3", "-c", CROWD, box.socket, then, file]);

  let isOver = false;
  const staying = crowd("stay").finally(() => isOver = true);
  let asked = 0;
  while (!isOver) {
    const { code, body } = await box.request("POST", "/v1/reload");
    assert.equal(code, 200, body);
    assert.equal((await box.request("GET", "/readyz")).code, 200);
    asked++;
  }
  await staying;
  assert.ok(asked > 1, `${asked}`);

  await crowd("leave");
  const { generation } = await box.status();
  const { code, body } = await box.request("POST", "/v1/reload");
  assert.equal(code, 200, body);
  await box.request("POST", "/v1/reload");
  const { generation: then } = await box.status();
  // One was under way. Each reload of root's puts back what it has changed.
  assert.ok(then - generation <= 3, `generation ${then}, ${generation} when all had left`);
});
