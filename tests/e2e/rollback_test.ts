/**
 * Handovers that fail: whatever becomes of the new process, at every step, the running one goes on, and no packet is
 * lost.
 */
import assert from "node:assert/strict";
import { FAILURES, STEPS } from "../../src/appliance/handover/taker.ts";
import { TestNetwork } from "../support/netns.ts";
import { SIZE } from "../support/sizes.ts";
import { assertConserved, fatesOf, passedFor } from "./support/accounts.ts";
import { type Appliance, startAppliance, type Status } from "./support/appliance.ts";
import { BackgroundTraffic } from "./support/background.ts";
import { BOTH, Clients, FAMILIES, forwardConfig, forwardTo } from "./support/backends.ts";
import { startScene, untilForwarded } from "./support/scene.ts";
import { until } from "./support/wait.ts";

const RULES = [
  "{ name: count, ports: 8080, worker: 0 }",
  "{ name: echo, ports: 7777, worker: 1, action: echo }",
];
/** So few that an rx ring holds what comes in the seconds in which a process hangs. */
const RATE_PPS = 200;
/** A batch of each worker. */
const IN_HAND = 2 * 64;
/** Steps between which workers belong to one process and to the other; by default each IP version meets one. */
const MIDDLE = ["half", "linked"] as const;
/** Of a process that hangs when packets are its own. */
const WITHIN_S = 5;

/** A handover that fails at a step. While a process hangs that has them, the kernel's stack gets the packets. */
async function failedUpgrade(box: Appliance): Promise<void> {
  const before = box.pid;
  // An answer that takes long is not waited for by the server.
  const answer = await box.request("POST", `/v1/upgrade?within=${WITHIN_S}`).catch(() => undefined);
  // From step "healthy" on, packets were the new process's already.
  if (answer !== undefined && answer.code !== 200) assert.match(answer.body, /did not take over.*goes on/);
  await until("the running process to go on", async () => {
    const { handovers } = await box.status().catch(() => ({ handovers: undefined }));
    return handovers !== undefined && handovers.refused + handovers.rolledBack === 1;
  });
  assert.equal((await box.status()).pid, before);
}

for (const failure of FAILURES) {
  Deno.test(`a new process that is told to ${failure} at any step: the running one goes on, nothing is lost`, async () => {
    // A process that is killed leaves most in between. The others meet different steps of each half of a handover.
    const every = Math.ceil(failure === "kill" ? SIZE.failingSteps / 2 : SIZE.failingSteps);
    const first = (failure === "hang" ? 2 : 1) % every;
    const steps = STEPS.filter((_, index) => index % every === first);
    for (const step of steps) {
      await using network = await TestNetwork.create();
      const env = { XDPSTEER_TEST_HANDOVER: `${step} ${failure}`, XDPSTEER_UNCONFINED: "1" };
      await using box = await startAppliance(network, { rules: RULES, workers: 2 }, { env });
      await using traffic = await BackgroundTraffic.udp(network, box, {
        ports: [8080, 7777],
        flows: 10,
        ratePps: RATE_PPS,
      });
      await failedUpgrade(box);
      const { totals: { received } } = await box.status();
      await box.untilStatus("packets after it", ({ totals }) => totals.received > received + 50);
      const { sent } = await traffic.stop();
      // What a worker has in hand ends with it.
      const lost = failure === "fail" ? 0 : IN_HAND;
      const served = (status: Status): number =>
        (fatesOf(status, "count").counted ?? 0) + (fatesOf(status, "echo").echoed ?? 0) + passedFor(status, "deadman");
      const status = await box.untilStatus("all packets", (status) => served(status) >= sent - lost);
      assert.ok(served(status) <= sent);
      assert.equal(status.totals.socketDrops, 0);
      if (lost === 0) assertConserved(status);
      const result = step === "start" || step === "adopted" ? "refused" : "rolled_back";
      assert.equal((await box.metrics()).get(`xdpsteer_handovers_total{result="${result}"}`), 1, step);
    }
  });
}

for (const family of BOTH) {
  Deno.test(`sessions keep their backend and translation port where a handover is taken back: ${family}`, async () => {
    const rule = forwardTo(8080, [1, 2], { families: [family] });
    for (const step of SIZE.failingSteps === 1 ? MIDDLE : [MIDDLE[family === "IPv4" ? 0 : 1]]) {
      const env = { XDPSTEER_TEST_HANDOVER: `${step} kill`, XDPSTEER_UNCONFINED: "1" };
      await using scene = await startScene((socket) => forwardConfig(socket, [rule]), {
        ...{ families: [family], serving: [1, 2], env },
      });
      const { network, box, host } = scene;
      const { service: address } = FAMILIES[family];
      await using clients = await Clients.start(network, { address, port: 8080, clients: 100, window: 2 });
      await clients.ready();
      await failedUpgrade(box);
      await untilForwarded(scene);
      const ports = await host.portsSeen(family, [1, 2]);
      const { wrong, moved } = await clients.stop();
      assert.deepEqual({ wrong, moved }, { wrong: 0, moved: 0 });
      assert.equal(ports, 100, "a session has another port");
    }
  });
}
