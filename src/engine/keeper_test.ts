import assert from "node:assert/strict";
import { FakeTimers, quiet } from "../../tests/support/fake_timers.ts";
import { SteerError } from "../errors.ts";
import type { Device } from "../host/devices.ts";
import { ChangeQueue } from "./change_queue.ts";
import { InterfaceKeeper, type KeptInterface } from "./keeper.ts";

/** An interface that notes what is done to it. */
class FakeInterface {
  name: string;
  readonly steps: string[] = [];
  readonly queues = [];
  attach: "native" | "none" = "none";
  readonly fallbackReason = "";
  condition: KeptInterface["condition"] = { state: "attaching", since: "", why: "" };
  reattachments = 0;
  unattachedMs = 0;
  unsent = 0;
  hasSockets = false;
  isBound = true;
  fault: string | undefined;
  device: Device | undefined;
  /** What attaching fails with. */
  fails: string | undefined;
  readonly redirectErrors = (): Map<string, number> => new Map();

  constructor(name: string) {
    this.name = name;
  }

  get currentName(): string {
    return this.device?.name ?? this.name;
  }

  get ifindex(): number | undefined {
    return this.device?.ifindex;
  }

  setCondition(state: KeptInterface["condition"]["state"], why = ""): void {
    this.condition = { state, why, since: "" };
  }

  attachTo(device: Device): void {
    if (this.fails !== undefined) throw new SteerError(this.fails);
    this.device = device;
    this.attach = "native";
    this.fault = undefined;
    this.steps.push(`attach ${device.ifindex}`);
  }

  detach(): void {
    this.attach = "none";
  }

  openSockets(): Promise<void> {
    this.hasSockets = this.isBound = true;
    this.steps.push("open");
    return Promise.resolve();
  }

  fillXskMap(): void {
    this.steps.push("fill");
  }

  places(): [] {
    return [];
  }

  closeSockets(): void {
    this.hasSockets = false;
    this.steps.push("close");
  }
}

class Rig {
  readonly timers = new FakeTimers();
  readonly interfaces: readonly FakeInterface[];
  readonly devices = new Map<number, Device>();
  readonly keeper: InterfaceKeeper<FakeInterface & KeptInterface>;
  hung = false;
  changes = 0;
  /** Names of devices that are going, which rtnetlink has not told yet. */
  readonly going = new Set<string>();
  #tell: () => void = () => {};
  #arrivals = 0;

  private constructor(names: readonly string[]) {
    this.interfaces = names.map((name) => new FakeInterface(name));
    const steps = (changed: readonly FakeInterface[], step: string): void => {
      for (const each of changed) each.steps.push(step);
    };
    this.keeper = new InterfaceKeeper({
      interfaces: this.interfaces as readonly (FakeInterface & KeptInterface)[],
      devices: {
        byIndex: (ifindex) => this.devices.get(ifindex),
        byName: (name) => [...this.devices.values()].find((device) => device.name === name),
        follow: (changed) => this.#tell = changed,
      },
      directory: {
        publish: (changed, closing) =>
          Promise.resolve(steps(changed as unknown as FakeInterface[], closing ? "take" : "give")),
        taken: () => this.hung ? Promise.reject(new SteerError("A worker has not answered")) : Promise.resolve(),
      },
      queue: new ChangeQueue(),
      timers: this.timers,
      settled: () => Promise.resolve(),
      indexOf: (name) =>
        this.going.has(name) ? 0 : [...this.devices.values()].find((device) => device.name === name)?.ifindex ?? 0,
    });
  }

  /** All interfaces attached, as after a start. */
  static async start(...names: string[]): Promise<Rig> {
    const rig = new Rig(names);
    const kept = rig.interfaces as readonly (FakeInterface & KeptInterface)[];
    for (const [index, each] of kept.entries()) {
      await rig.keeper.attach(each, rig.#device(index + 1, each.name));
    }
    await rig.keeper.serve(kept);
    rig.keeper.watch(() => rig.changes++);
    for (const each of rig.interfaces) each.steps.length = 0;
    return rig;
  }

  /** A device comes, or is called something else. */
  async come(ifindex: number, name: string): Promise<void> {
    this.#device(ifindex, name);
    this.#tell();
    await quiet();
  }

  async go(ifindex: number): Promise<void> {
    this.devices.delete(ifindex);
    this.#tell();
    await quiet();
  }

  #device(ifindex: number, name: string): Device {
    const arrival = this.devices.get(ifindex)?.arrival ?? ++this.#arrivals;
    const device = {
      ifindex,
      name,
      arrival,
      altNames: [],
      mac: undefined,
      mtu: 1500,
      up: true,
      vlan: undefined,
      ...{ isLoopback: false, kind: "", lower: 0, master: 0 },
    };
    this.devices.set(ifindex, device);
    return device;
  }
}

Deno.test("InterfaceKeeper lets go of an interface that is gone, and attaches by the steps of the start when it is back", async () => {
  const rig = await Rig.start("eth0", "eth1");
  const [other, gone] = rig.interfaces;
  await rig.go(2);
  const { unattachedMs } = gone!;
  assert.deepEqual([gone!.condition.state, gone!.attach, gone!.steps], ["gone", "none", ["take", "close"]]);
  assert.match(gone!.condition.why, /"eth1" was deleted/);
  await rig.timers.pass(5000);
  assert.deepEqual(gone!.steps, ["take", "close"], "nothing to do");
  await rig.come(9, "eth1");
  assert.deepEqual(gone!.steps.slice(2), ["attach 9", "open", "give", "fill"]);
  assert.deepEqual([gone!.condition.state, gone!.reattachments, gone!.ifindex], ["attached", 1, 9]);
  assert.deepEqual([other!.steps, other!.reattachments, other!.unattachedMs], [[], 0, 0]);
  assert.equal(gone!.unattachedMs - unattachedMs, 5000);
  assert.ok(rig.changes >= 2);
});

Deno.test("InterfaceKeeper follows a new name, and opens new sockets for a device that was away for a moment", async () => {
  const rig = await Rig.start("eth0");
  const [eth0] = rig.interfaces;
  await rig.come(1, "wan0");
  assert.deepEqual([eth0!.currentName, eth0!.condition.state, eth0!.steps], ["wan0", "attached", []]);
  // Away and back between two looks, with the same index: its sockets are cut off.
  rig.devices.delete(1);
  await rig.come(1, "eth0");
  assert.deepEqual(eth0!.steps, ["take", "close", "attach 1", "open", "give", "fill"]);
  assert.equal(eth0!.condition.state, "attached");
});

Deno.test("InterfaceKeeper does not call detached by force what is being deleted", async () => {
  const rig = await Rig.start("eth0");
  const [eth0] = rig.interfaces;
  rig.going.add("eth0");
  eth0!.fault = "the XDP program was detached by force";
  await rig.timers.pass(1000);
  assert.deepEqual([eth0!.condition.state, eth0!.steps], ["attached", []]);
  await rig.go(1);
  assert.equal(eth0!.condition.state, "gone");
  assert.match(eth0!.condition.why, /"eth0" was deleted/);
});

Deno.test("InterfaceKeeper attaches again what was detached by force, with the sockets it has", async () => {
  const rig = await Rig.start("eth0");
  const [eth0] = rig.interfaces;
  eth0!.fault = "the XDP program was detached by force";
  await rig.timers.pass(1000);
  assert.deepEqual([eth0!.steps, eth0!.condition.state, eth0!.reattachments], [["attach 1"], "attached", 1]);
  assert.equal(eth0!.unattachedMs, 1000, "since the look before");
  await rig.timers.pass(300);
  eth0!.fault = "the XDP program was detached by force";
  rig.keeper.look();
  await quiet();
  assert.equal(eth0!.unattachedMs, 1300, "whoever asks has it found");
  await rig.timers.pass(700);
  eth0!.steps.length = 1;
  // Cut off: new ones.
  eth0!.fault = "cut off";
  eth0!.isBound = false;
  await rig.timers.pass(1000);
  assert.deepEqual(eth0!.steps.slice(1), ["take", "close", "attach 1", "open", "give", "fill"]);
});

Deno.test("InterfaceKeeper closes no socket before every worker has let go of it", async () => {
  const rig = await Rig.start("eth0");
  const [eth0] = rig.interfaces;
  rig.hung = true;
  await rig.go(1);
  await rig.timers.pass(2000);
  assert.ok(!eth0!.steps.includes("close"));
  rig.hung = false;
  await rig.timers.pass(1000);
  assert.ok(eth0!.steps.includes("close"));
  await rig.come(4, "eth0");
  assert.equal(eth0!.condition.state, "attached");
});

Deno.test("InterfaceKeeper tries again what cannot be attached, and gives up when nothing is attached for a minute", async () => {
  const rig = await Rig.start("eth0", "eth1");
  const [eth0, eth1] = rig.interfaces;
  let failure: unknown;
  rig.keeper.failure.catch((error) => failure = error);
  eth0!.fails = "another program sits on it";
  eth0!.fault = "the XDP program was detached by force";
  await rig.timers.pass(120_000);
  assert.deepEqual([eth0!.condition.state, eth0!.condition.why], ["detached", "another program sits on it"]);
  assert.equal(failure, undefined, "the other one is steered");
  await rig.go(2);
  assert.equal(eth1!.condition.state, "gone");
  await rig.timers.pass(59_000);
  assert.equal(failure, undefined);
  await rig.timers.pass(2000);
  assert.match(`${failure}`, /No interface could be attached for 60 s: eth0: another program sits on it; eth1: /);
});

Deno.test("InterfaceKeeper waits without end for interfaces that are not there, and stops when it is disposed of", async () => {
  const rig = await Rig.start("eth0");
  const [eth0] = rig.interfaces;
  let failure: unknown;
  rig.keeper.failure.catch((error) => failure = error);
  await rig.go(1);
  await rig.timers.pass(600_000);
  assert.equal(failure, undefined);
  rig.keeper[Symbol.dispose]();
  await rig.come(5, "eth0");
  assert.equal(eth0!.attach, "none");
  assert.equal(rig.timers.count, 0);
});
