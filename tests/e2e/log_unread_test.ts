import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { type Appliance, startAppliance } from "./support/appliance.ts";
import type { TestConfig } from "./support/config.ts";
import { SmallDisk } from "./support/command.ts";
import { until } from "./support/wait.ts";

const CONFIG: TestConfig = { rules: ["{ name: game, ports: 8080, worker: 0 }"], workers: 1 };

/**
 * Gives the product a standard error that is read from SIGUSR1 to the next one. `locked` is a pipe that its user may
 * not open again.
 */
const UNREAD = `
import os, pty, select, signal, socket, subprocess, sys, time
kind, *argv = sys.argv[1:]
if kind == "terminal":
    ours, theirs = pty.openpty()
elif kind == "socket":
    ours, theirs = (end.detach() for end in socket.socketpair())
else:
    ours, theirs = os.pipe()
    if kind == "locked": os.fchmod(theirs, 0)
child = subprocess.Popen(argv, stderr=theirs)
os.close(theirs)
reads = False
def toggle(*_):
    global reads
    reads = not reads
signal.signal(signal.SIGUSR1, toggle)
signal.signal(signal.SIGTERM, lambda *_: child.terminate())
while child.poll() is None:
    if not reads: time.sleep(0.01)
    elif select.select([ours], [], [], 0.05)[0]: os.write(2, os.read(ours, 65536))
sys.exit(child.returncode)
`;

/** Each is a line of about 2,000 bytes in the log. */
async function refuse(box: Appliance, times: number): Promise<void> {
  const { code } = await box.put(`version: 1\n${"x".repeat(900)}: 1\n`);
  assert.equal(code, 422);
  if (times > 1) await refuse(box, times - 1);
}

for (const kind of ["pipe", "locked", "socket", "terminal"]) {
  Deno.test(`standard error that nobody reads stops nothing, and lines that are lost are counted and said: a ${kind}`, async () => {
    await using network = await TestNetwork.create();
    await using box = await startAppliance(network, CONFIG, { as: ["/usr/bin/python3", "-c", UNREAD, kind] });
    const lost = async (): Promise<number> => (await box.metrics()).get("xdpsteer_log_lines_lost_total")!;
    assert.equal(await lost(), 0);
    while (await lost() === 0) await refuse(box, 100); // whatever the buffers between take
    await until("the problem in the list", async () => (await box.problemKinds()).includes("log_unread"));
    box.signal("SIGUSR1");
    await until("the lines", () => box.stderr.includes("lost: nobody read standard error"));
    await until("the end of the problem", async () => !(await box.problemKinds()).includes("log_unread"));
    const [told] = box.log.filter(({ message }) => message.includes("lost: nobody read"));
    assert.equal(told!.properties.lines, await lost());
    box.signal("SIGUSR1");
    const before = await lost();
    while (await lost() === before) await refuse(box, 100);
    box.signal("SIGTERM");
    assert.equal((await box.ended()).code, 0);
  });
}

Deno.test("standard error that is closed at the start, or whose reader has ended, stops nothing", async () => {
  await using network = await TestNetwork.create();
  const closed = ["/bin/sh", "-c", 'exec "$@" 2>&-', "sh"];
  const ended = [
    "/usr/bin/python3",
    "-c",
    "import os, sys; r, w = os.pipe(); os.close(r); os.dup2(w, 2); os.execvp(sys.argv[1], sys.argv[1:])",
  ];
  for (const as of [closed, ended]) {
    await using box = await startAppliance(network, CONFIG, { as });
    await refuse(box, 3);
    box.signal("SIGTERM");
    assert.equal((await box.ended()).code, 0);
    assert.equal(box.stderr, "");
  }
});

Deno.test("standard error on a disk that is full is told as that, and is over by itself when there is room", async () => {
  await using disk = await SmallDisk.create();
  const log = `${disk.path}/log`;
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, CONFIG, { as: ["sh", "-c", 'exec "$@" 2>>"$0"', log] });
  await assert.rejects(Deno.writeFile(`${disk.path}/filler`, new Uint8Array(1 << 20)));
  let sent = 0;
  const found = await until("the problem", async () => {
    await refuse(box, 1); // the last page of the file may have room for some
    sent++;
    return await box.problem("log_unread");
  });
  assert.match(found.message, /^Standard error goes to a disk that is full: no line of the log is lost yet$/);
  assert.match(found.fix!, /^df -h /);
  await Deno.remove(`${disk.path}/filler`);
  await until("its end, without another line", async () => !(await box.problemKinds()).includes("log_unread"));
  const refused = (await Deno.readTextFile(log)).split("\n").filter((line) => line.includes("is refused"));
  assert.equal(refused.length, sent);
});
