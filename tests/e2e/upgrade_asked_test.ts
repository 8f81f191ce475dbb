/** Who may ask for a handover, and whom a new process takes one from: nobody who may not use the control socket. */
import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { startAppliance } from "./support/appliance.ts";
import { finish, productCommand, TempDir } from "./support/command.ts";
import type { TestConfig } from "./support/config.ts";
import { asOrdinaryUser, ordinaryUserEnv } from "./support/ordinary_user.ts";

const HTTP = 9472;
const CONFIG: TestConfig = { rules: ["{ name: game, ports: 8080, worker: 0 }"], http: `127.0.0.1:${HTTP}` };

/** What an ordinary user tries: a signal, the control socket, TCP. Prints how each is refused. */
const ASK = `
import errno, json, os, signal, socket, sys
options = json.loads(sys.argv[1])
found = {}
try:
    os.kill(options["pid"], signal.SIGUSR2)
    found["signal"] = "sent"
except OSError as error:
    found["signal"] = errno.errorcode[error.errno]
try:
    client = socket.socket(socket.AF_UNIX)
    client.connect(options["socket"])
    found["socket"] = "connected"
except OSError as error:
    found["socket"] = errno.errorcode[error.errno]
client = socket.create_connection(("127.0.0.1", options["http"]))
client.sendall(b"POST /v1/upgrade HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
found["http"] = client.recv(65536).split(b"\\r\\n")[0].decode()
print(json.dumps(found))
`;

Deno.test("a user who may not use the control socket cannot ask for a handover: by signal, by the socket, by HTTP", async () => {
  await using network = await TestNetwork.create();
  await using cache = await TempDir.create();
  await using box = await startAppliance(network, CONFIG);
  await Deno.chmod(box.socket.slice(0, box.socket.lastIndexOf("/")), 0o755);
  const input = JSON.stringify({ pid: box.pid, socket: box.socket, http: HTTP });
  const found = await network.exec("steer", [...asOrdinaryUser(), "/usr/bin/python3", "-c", ASK, input]);
  assert.deepEqual(JSON.parse(found), {
    signal: "EPERM",
    socket: "EACCES",
    http: "HTTP/1.1 403 Forbidden",
  });
  const env = await ordinaryUserEnv(cache.path);
  const argv = [...asOrdinaryUser(), ...productCommand(), "upgrade", "--socket", box.socket];
  const { code, stderr } = await finish(network, argv, { env });
  assert.equal(code, 1);
  assert.match(stderr, /this user may not open it/);
  const { handovers, pid } = await box.status();
  const { done, refused, rolledBack } = handovers;
  assert.deepEqual([pid, done, refused, rolledBack], [box.pid, 0, 0, 0]);
});

/** Starts a program, as root, whose standard input leads to a process of an ordinary user, or of a stranger. */
const LURE = `
import json, os, socket, subprocess, sys, tempfile
options = json.loads(sys.argv[1])
directory = tempfile.mkdtemp()
os.chmod(directory, 0o777)
path = directory + "/lure"
child = os.fork()
if child == 0:
    if options["user"] != 0:
        os.setgid(options["user"])
        os.setuid(options["user"])
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.bind(path)
    server.listen(1)
    connection, _ = server.accept()
    connection.settimeout(60)
    try:
        connection.send(b"lure")
        connection.recv(65536)
    except OSError:
        pass
    os._exit(0)
import time
client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
end = time.monotonic() + 60
while True:
    try:
        client.connect(path)
        break
    except OSError:
        if time.monotonic() > end: raise
        time.sleep(0.01)
done = subprocess.run(options["argv"], stdin=client, capture_output=True, env={**os.environ, "XDPSTEER_HANDOVER": "1"})
client.close()
os.waitpid(child, 0)
subprocess.run(["rm", "-r", directory])
print(json.dumps({"code": done.returncode, "stderr": done.stderr.decode()}))
`;

for (const [who, user] of [["another user", 65534], ["a process that has not started it", 0]] as const) {
  Deno.test(`a new process takes nothing from ${who}, whatever its standard input leads to`, async () => {
    await using network = await TestNetwork.create();
    await using box = await startAppliance(network, CONFIG);
    const argv = [...productCommand(), "run", "--config", box.configFile];
    const output = await network.exec("steer", ["/usr/bin/python3", "-c", LURE, JSON.stringify({ argv, user })]);
    const { code, stderr } = JSON.parse(output);
    assert.equal(code, 1, stderr);
    assert.match(stderr, /XDPSTEER_HANDOVER is set, and standard input is no connection to a running xdpsteer/);
    assert.equal((await box.status()).pid, box.pid);
  });
}
