/**
 * Problems that somebody causes and ends, one after the other: each is told, and so is its end. How long that took is
 * printed, for people to judge: docs/decisions/0034-said-within-two-seconds.md says what it is to be.
 */
import assert from "node:assert/strict";
import { ACTION, CONTROL, PORT_ENTRY } from "../../src/bpf/layout.gen.ts";
import type { ProblemKind } from "../../src/observe/problems/kinds.ts";
import { INTERFACES, TestNetwork } from "../support/netns.ts";
import { startAppliance } from "./support/appliance.ts";
import { BackgroundTraffic } from "./support/background.ts";
import { readMap, writeMap } from "./support/bpf_maps.ts";
import { finish, productCommand } from "./support/command.ts";
import { configText } from "./support/config.ts";
import { type Told, trouble } from "./support/storm.ts";

const PORT = 8080;
const RULES = [PORT, 7001, 7002, 7003].map((port, index) => `{ name: r${index}, ports: ${port}, action: echo }`);
const HALF_BYTES = 65536 * PORT_ENTRY.size;

/** A program of the box that has a port until its standard input ends. */
const LISTENER = `
import socket, sys
listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
listener.bind(("0.0.0.0", int(sys.argv[1])))
sys.stdin.read()
`;

type Trouble = () => Promise<(() => Promise<unknown>) | undefined>;

Deno.test("each problem that somebody causes is told, and so is its end", async () => {
  await using network = await TestNetwork.create({ queues: 4 });
  const steer = (...argv: string[]): Promise<string> => network.exec("steer", argv);
  await steer("ethtool", "-L", INTERFACES.steer, "rx", "2", "tx", "2");
  const good = (socket: string): string => configText({ rules: RULES, attach: "generic" }, socket);
  await using box = await startAppliance(network, good);
  const link = (...argv: string[]): Promise<string> => steer("ip", "link", "set", "dev", INTERFACES.steer, ...argv);
  const queues = (count: string): Promise<string> => steer("ethtool", "-L", INTERFACES.steer, "rx", count, "tx", count);
  const save = (text: string): Trouble => async () => {
    await box.writeConfig(text);
    return () => box.writeConfig(good(box.socket));
  };
  const undone = (begin: () => Promise<unknown>, end: () => Promise<unknown>): Trouble => async () => {
    await begin();
    return end;
  };
  const troubles: Partial<Record<ProblemKind, Trouble>> = {
    interface_down: undone(() => link("down"), () => link("up")),
    mtu_too_large: undone(() => link("mtu", "3000"), () => link("mtu", "1500")),
    queues_added: undone(() => queues("4"), () => queues("2")),
    uncovered_queue: async () => {
      await queues("4");
      const traffic = await BackgroundTraffic.udp(network, box, { ports: [PORT], flows: 200, ratePps: 5000 });
      return async () => {
        await traffic.stop();
        void queues("2");
      };
    },
    program_detached: async () => {
      const detach = [...productCommand(), "detach", "--interface", INTERFACES.steer, "--force"];
      return void await finish(network, detach);
    },
    steering_changed: async () => {
      const half = new DataView((await readMap(box, "control", CONTROL.activeTable)).buffer).getUint32(0, true);
      const at = half * HALF_BYTES + 7001 * PORT_ENTRY.size + PORT_ENTRY.action;
      return void await writeMap(box, "ports", at, new Uint8Array([ACTION.DROP]));
    },
    local_listener: () => {
      const listener = network.spawn("steer", ["/usr/bin/python3", "-c", LISTENER, `${PORT}`], { stdin: "piped" });
      return Promise.resolve(async () => {
        await listener.stdin.close();
        await listener.output();
      });
    },
    config_refused: save("nonsense: 1\n"),
    config_settling: save(configText({ rules: RULES.slice(0, 1), attach: "generic" }, box.socket)),
    config_unsaved: undone(
      () => box.put(configText({ rules: RULES.slice(0, 3), attach: "generic" }, box.socket)),
      () => box.put(good(box.socket)),
    ),
  };
  const told: Told[] = [];
  for (const [kind, begin] of Object.entries(troubles)) told.push(await trouble(box, kind as ProblemKind, begin));
  // Packets on a queue without sockets are no sign that somebody has taken one away.
  assert.equal((await box.metrics()).get('xdpsteer_repairs_total{what="xsk_map"}'), 0);
  await Deno.stderr.write(new TextEncoder().encode(`${JSON.stringify(told)}\n`));
});
