/** Signals that the runtime, or the kernel, answers in its own way: see ignoreSignals() and confine_signals(). */
import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { startAppliance } from "./support/appliance.ts";
import { python } from "./support/python.ts";

const TO_ALL = `
import ctypes, signal
pid = options["pid"]
threads = [int(thread) for thread in os.listdir("/proc/%d/task" % pid)]
for _ in range(3):
    os.kill(pid, signal.SIGUSR1)
    for thread in threads:
        ctypes.CDLL(None).tgkill(pid, thread, signal.SIGUSR1)
time.sleep(1)
print(len(threads))
`;

Deno.test("SIGUSR1, to the process or to any of its threads, opens no debugger", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { rules: ["{ name: game, ports: 7777, worker: 0 }"] });
  const listening = async (): Promise<string> => await network.exec("steer", ["ss", "-lntuH"]);
  const before = await listening();
  const handled = ["SigBlk", "SigIgn"].map((name) => {
    const status = Deno.readTextFileSync(`/proc/${box.pid}/status`);
    return BigInt(`0x${new RegExp(`^${name}:\\s*(\\w+)`, "m").exec(status)![1]}`) >> 9n & 1n;
  });
  assert.ok(handled.includes(1n), "it is held back or ignored");
  assert.ok(await python<number>(network, "steer", TO_ALL, { pid: box.pid }) > 5);
  const { code } = await box.request("GET", "/readyz");
  assert.equal(code, 200);
  assert.equal(await listening(), before);
  box.signal("SIGTERM");
  assert.equal((await box.ended()).code, 0, box.stderr);
  assert.doesNotMatch(box.stderr, /Debugger|ws:\/\//);
});
