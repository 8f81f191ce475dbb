/**
 * A process that is told to stop, or killed, in the middle of a handover: nothing of it stays behind, and whoever asked
 * for the handover is told what has become of it.
 */
import assert from "node:assert/strict";
import { STEPS } from "../../src/appliance/handover/taker.ts";
import { INTERFACES, TestNetwork } from "../support/netns.ts";
import { SIZE } from "../support/sizes.ts";
import { type Appliance, startAppliance } from "./support/appliance.ts";
import { finish, type Finished, productCommand } from "./support/command.ts";
import { stateOf } from "./support/process_state.ts";
import { until } from "./support/wait.ts";

const RULES = [
  "{ name: count, ports: 8080, worker: 0 }",
  "{ name: echo, ports: 7777, worker: 1, action: echo }",
];

/** The new process, which stands still. */
function untilHung({ pid }: Appliance): Promise<number> {
  return until("a new process that hangs", () => {
    for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
      const children = Deno.readTextFileSync(`/proc/${pid}/task/${name}/children`).trim();
      const hung = children.split(" ").map(Number).find((child) => stateOf(child) === "T");
      if (hung !== undefined) return hung;
    }
    return undefined;
  });
}

function askUpgrade(network: TestNetwork, { socket }: Appliance): Promise<Finished> {
  return finish(network, [...productCommand(), "upgrade", "--within", "600", "--socket", socket]);
}

Deno.test("SIGTERM in the middle of a handover, at any step: both processes end, and no packet is steered", async () => {
  for (const [index, step] of STEPS.entries()) {
    if (index % SIZE.failingSteps !== SIZE.failingSteps - 1) continue;
    await using network = await TestNetwork.create();
    const env = { XDPSTEER_TEST_HANDOVER: `${step} hang`, XDPSTEER_UNCONFINED: "1" };
    await using box = await startAppliance(network, { rules: RULES, workers: 2 }, { env });
    const asked = askUpgrade(network, box);
    const hung = await untilHung(box);
    try {
      box.signal("SIGTERM");
      assert.equal((await box.ended()).code, 0, box.stderr);
      assert.match(stateOf(hung), /^(Z|X|)$/, `${step}: the new process is still there`);
      assert.match(box.stderr, /The handover is given up: the running one has been told to stop/, step);
      assert.doesNotMatch(box.stderr, /goes on/, step);
      const { stderr, code } = await asked;
      assert.equal(code, 1, step);
      assert.match(stderr, /did not take over: the running one has been told|has ended, and has handed over to none/);
      assert.doesNotMatch(await network.exec("steer", ["ip", "-d", "link", "show", INTERFACES.steer]), /prog\/xdp/);
    } finally {
      if (stateOf(hung) === "T") Deno.kill(hung, "SIGKILL");
    }
  }
});

Deno.test("whoever asked for a handover is told at once that the process is killed in the middle of it", async () => {
  await using network = await TestNetwork.create();
  const env = { XDPSTEER_TEST_HANDOVER: "adopted hang", XDPSTEER_UNCONFINED: "1" };
  await using box = await startAppliance(network, { rules: RULES, workers: 2 }, { env });
  const asked = askUpgrade(network, box);
  const hung = await untilHung(box);
  box.signal("SIGKILL");
  Deno.kill(hung, "SIGKILL");
  const { stderr, code } = await asked; // finish() gives it no more time than it waited for before
  assert.equal(code, 1);
  assert.match(stderr, /has ended, and has handed over to none/);
});
