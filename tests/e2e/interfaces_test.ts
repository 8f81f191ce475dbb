/**
 * Interfaces that go away, come back, are called something else or lose their program while traffic goes on: the rest
 * goes on, what was lost is counted, and all of it works again without a restart.
 */
import assert from "node:assert/strict";
import { INTERFACES, TestNetwork } from "../support/netns.ts";
import { SIZE } from "../support/sizes.ts";
import { fatesOf, ruleOf, settled } from "./support/accounts.ts";
import { assertNoneLost } from "./support/link.ts";
import { type Appliance, openFiles, startAppliance, type Status } from "./support/appliance.ts";
import {
  BACK,
  BackendHost,
  BOTH,
  Clients,
  DEFAULT_RINGS,
  FAMILIES,
  type Family,
  forwardConfig,
  forwardTo,
} from "./support/backends.ts";
import { finish, productCommand } from "./support/command.ts";
import { mappedKib, memoryKib } from "./support/memory.ts";
import { type ForwardScene, startScene, untilForwarded } from "./support/scene.ts";
import { PATIENCE_MS, until } from "./support/wait.ts";

const PORT = 8080;
const CLIENTS = 100;
const FLAPS = 5;
const SENT = { address: FAMILIES.IPv4.service, port: PORT, clients: CLIENTS };
/** Of each client, once the interface is back. */
const REQUESTS = 20;

/** How the box is set up. */
interface Variant {
  readonly family: Family;
  readonly attach: "native" | "generic";
  /** Rings and packet memory are as documented; else so large that nothing is lost in a burst. */
  readonly defaultSizes: boolean;
}

const EVERY_VARIANT: readonly Variant[] = BOTH.flatMap((family) =>
  (["native", "generic"] as const).flatMap((attach) =>
    [false, true].map((defaultSizes) => ({ family, attach, defaultSizes }))
  )
);
const [PLAIN] = EVERY_VARIANT;
const OTHER = EVERY_VARIANT.at(-1)!;
const VARIANTS = SIZE.everyVariant ? EVERY_VARIANT : [PLAIN!, OTHER];

const nameOf = ({ family, attach, defaultSizes }: Variant): string =>
  `${family}, ${attach} XDP, ${defaultSizes ? "default" : "large"} rings`;

function configOf(
  { attach, defaultSizes }: Variant,
  socket: string,
  rule: string,
  interfaces: readonly string[] = [INTERFACES.steer, BACK],
): string {
  const memory = defaultSizes ? { memory: DEFAULT_RINGS } : {};
  return forwardConfig(socket, [rule], { interfaces, ...memory }).replaceAll("attach: native", `attach: ${attach}`);
}

interface Scene extends ForwardScene {
  readonly family: Family;
}

/** Client, box and two backends behind its second interface. */
async function setScene(variant = PLAIN!): Promise<Scene> {
  const families = [variant.family];
  const rule = forwardTo(PORT, [1, 2], { families });
  const scene = await startScene((socket) => configOf(variant, socket, rule), { families, serving: [1, 2] });
  return { ...scene, family: variant.family };
}

async function answers({ network, family }: Scene, timeoutMs = 200): Promise<boolean> {
  await using client = await Clients.start(network, {
    ...{ address: FAMILIES[family].service, port: PORT, clients: 1, requests: 1, timeoutMs },
  });
  return (await client.report()).answered === 1;
}

const interfaceOf = (status: Status, name: string): Status["interfaces"][number] =>
  status.interfaces.find((each) => each.name === name)!;

const untilState = ({ box }: Scene, name: string, state: string, reattachments = 0): Promise<Status> =>
  box.untilStatus(`${name} to be ${state}`, (status) => {
    const found = interfaceOf(status, name);
    return found.state === state && found.reattachments >= reattachments;
  });

/** Something that happens to an interface, and its end. */
interface Happening {
  readonly of: string;
  /** Takes the interface away, and sees what is said of it meanwhile. */
  happen(scene: Scene): Promise<unknown>;
  /** Brings it back. */
  repair(scene: Scene): Promise<unknown>;
}

const HAPPENINGS: Readonly<Record<string, Happening>> = {
  "the backends' interface is deleted and made again": {
    of: BACK,
    happen: async (scene) => {
      await scene.network.exec("steer", ["ip", "link", "delete", BACK]);
      const status = await untilState(scene, BACK, "gone");
      assert.deepEqual([interfaceOf(status, BACK).ifindex, interfaceOf(status, BACK).attach], [null, "none"]);
      assert.equal(interfaceOf(status, INTERFACES.steer).state, "attached", "the other one is left alone");
      assert.ok(status.backends.every(({ noWay }) => noWay !== null));
    },
    repair: ({ host }) => host.connect(),
  },
  "the clients' interface is deleted and made again": {
    of: INTERFACES.steer,
    happen: async (scene) => {
      await scene.network.exec("steer", ["ip", "link", "delete", INTERFACES.steer]);
      await untilState(scene, INTERFACES.steer, "gone");
    },
    repair: ({ network }) => network.connect(),
  },
  "the backends' interface is moved to another namespace and back": {
    of: BACK,
    happen: async (scene) => {
      const { names } = scene.network;
      await scene.network.exec("steer", ["ip", "link", "set", BACK, "netns", names.client]);
      await untilState(scene, BACK, "gone");
      await scene.network.exec("client", ["ip", "link", "set", BACK, "netns", names.steer]);
    },
    repair: ({ host }) => host.configureBox(),
  },
  "the XDP program is detached by force": {
    of: BACK,
    happen: async ({ network }) => {
      const detach = [...productCommand(), "detach", "--interface", BACK, "--force"];
      assert.equal((await finish(network, detach)).code, 0);
    },
    repair: () => Promise.resolve(),
  },
};

for (const [what, { of, happen, repair }] of Object.entries(HAPPENINGS)) {
  for (const variant of VARIANTS) {
    const { family, attach } = variant;
    Deno.test(`${what} under load: it works again, and all packets are accounted for: ${nameOf(variant)}`, async () => {
      await using scene = await setScene(variant);
      const { box, network } = scene;
      const sent = { ...SENT, address: FAMILIES[family].service };
      assert.ok(await answers(scene, PATIENCE_MS));
      {
        // Those whose own interface is deleted end then.
        await using early = await Clients.start(network, { ...sent, timeoutMs: 200 });
        await early.ready();
        await happen(scene);
        await repair(scene);
        await untilState(scene, of, "attached", 1);
        await until("an answer", () => answers(scene));
      }
      await using clients = await Clients.start(network, { ...sent, requests: REQUESTS });
      const { answered, lost, wrong } = await clients.report();
      assert.equal(answered + lost, CLIENTS * REQUESTS);
      const status = await settled(box);
      // Those too that found no room to wait while a backend's link address was asked for.
      const { no_neighbour: waited = 0 } = fatesOf(status, "web");
      await assertNoneLost(scene, { lost: Math.max(0, lost - waited), wrong, late: 0, moved: 0 }, status);
      assert.deepEqual(status.interfaces.map((each) => each.attach), [attach, attach]);
      assert.equal(interfaceOf(status, of).reattachments, 1);
      assert.equal((await box.metrics()).get(`xdpsteer_interface_reattachments_total{interface="${of}"}`), 1);
      const others = status.interfaces.filter(({ name }) => name !== of);
      assert.ok(others.every(({ reattachments }) => reattachments === 0));
      assert.ok(await answers(scene, PATIENCE_MS));
    });
  }
}

for (const variant of VARIANTS) {
  const how = nameOf(variant);
  Deno.test(`an interface is known by its index: renamed under load nothing is lost, and an alternative name is a name: ${how}`, async () => {
    const alias = "uplink-to-the-backends-of-the-first-rack";
    await using network = await TestNetwork.create();
    await using host = await BackendHost.create(network);
    const { family } = variant;
    await host.serve(family, 1);
    await network.exec("steer", ["ip", "link", "property", "add", "dev", BACK, "altname", alias]);
    const rule = forwardTo(PORT, [1], { families: [family] });
    const config = (socket: string, interfaces: readonly string[]): string =>
      configOf(variant, socket, rule, interfaces);
    await using box = await startAppliance(network, (socket) => config(socket, [INTERFACES.steer, alias]), {
      favoured: true,
    });
    await using clients = await Clients.start(network, { ...SENT, address: FAMILIES[family].service });
    await clients.ready();
    for (const [from, to] of [[INTERFACES.steer, "front0"], [BACK, "rear0"]] as const) {
      await network.exec("steer", ["ip", "link", "set", from, "name", to]);
    }
    const renamed = (status: Status): boolean =>
      status.interfaces.map(({ currentName }) => currentName).join() === "front0,rear0";
    await box.untilStatus("the new names", renamed);
    await untilForwarded({ box });
    const { lost, wrong, moved } = await clients.stop();
    assert.deepEqual({ lost, wrong, moved }, { lost: 0, wrong: 0, moved: 0 });
    const status = await settled(box);
    assert.deepEqual(status.interfaces.map(({ name, state }) => [name, state]), [
      [INTERFACES.steer, "attached"],
      [alias, "attached"],
    ]);
    assert.ok(ruleOf(status, "web").workers.some(({ fates }) => fates.forwarded!.packets > 0));
    assert.equal((await box.metrics()).get(`xdpsteer_interface_up{interface="${alias}"}`), 1);

    // A file with the new names is one that changes nothing; with one that is not there it is refused.
    await box.writeConfig(config(box.socket, ["front0", "rear0"]));
    const names = ({ interfaces: all }: Status): string => all.map(({ name }) => name).join();
    const now = await box.untilStatus(
      "the new names to be those of the configuration",
      (each) => names(each) === "front0,rear0",
    );
    assert.deepEqual([now.generation, now.lastReload?.result], [1, "unchanged"]);
    const refused = await box.put(config(box.socket, ["front0", "none0"]));
    assert.equal(refused.code, 422, refused.body);
    assert.match(JSON.parse(refused.body).error, /interface "none0"/);
  });
}

Deno.test("a way to the backends by an interface that is not listed is said, with its name", async () => {
  await using network = await TestNetwork.create();
  await using host = await BackendHost.create(network);
  await host.serve("IPv4", 1);
  const rule = forwardTo(PORT, [1], { families: ["IPv4"] });
  await using box = await startAppliance(
    network,
    (socket) => forwardConfig(socket, [rule], { interfaces: [INTERFACES.steer] }),
  );
  const { backends } = await box.status();
  const text = `no route by a steered interface: ${BACK} is not listed under interfaces`;
  assert.deepEqual(backends.map(({ nextHop, noWay }) => ({ nextHop, noWay })), [
    { nextHop: null, noWay: { kind: "not_steered", interface: BACK, text } },
  ]);
  const { stdout } = await finish(network, [...productCommand(), "status", "--socket", box.socket]);
  assert.ok(stdout.includes(text), stdout);
});

/** Of the process: descriptors and memory that is mapped. */
function holdings(
  box: Appliance,
): { readonly fds: number; readonly mappedKib: number; readonly residentKib: number } {
  return { fds: openFiles(box), mappedKib: mappedKib(box), residentKib: memoryKib(box) };
}

Deno.test("an interface that is deleted and made again many times leaves nothing behind", async () => {
  const rounds = 20;
  await using network = await TestNetwork.create();
  await using host = await BackendHost.create(network);
  await host.serve("IPv4", 1);
  const rule = forwardTo(PORT, [1], { families: ["IPv4"] });
  await using box = await startAppliance(network, (socket) => forwardConfig(socket, [rule]));
  const scene = { network, host, box, family: "IPv4" as const, [Symbol.asyncDispose]: () => Promise.resolve() };
  const round = async (number: number): Promise<void> => {
    await network.exec("steer", ["ip", "link", "delete", BACK]);
    await host.connect();
    await untilState(scene, BACK, "attached", number);
  };
  for (let number = 1; number <= 3; number++) await round(number); // what is loaded and made once is there
  const before = holdings(box);
  for (let number = 4; number <= rounds; number++) await round(number);
  await until("an answer", () => answers(scene));
  const after = holdings(box);
  // Some come and go, such as those of requests.
  assert.ok(after.fds - before.fds < rounds / 2, `${before.fds} → ${after.fds} descriptors`);
  // A queue's packet memory is 32 MiB here, and there are two.
  assert.ok(after.mappedKib - before.mappedKib < 16 << 10, `${before.mappedKib} → ${after.mappedKib} KiB mapped`);
  assert.ok(after.residentKib - before.residentKib < 32 << 10, `${before.residentKib} → ${after.residentKib} KiB`);
});

Deno.test("a link that flaps under load takes no socket away: all works again, and all packets are accounted for", async () => {
  await using scene = await setScene();
  const { network, box } = scene;
  await using clients = await Clients.start(network, { ...SENT, clients: CLIENTS, timeoutMs: 500 });
  await clients.ready();
  const { thread } = (await box.status()).workers[0]!;
  for (let flap = 0; flap < FLAPS; flap++) {
    for (const [name, side] of [[INTERFACES.steer, "steer"], [BACK, "steer"]] as const) {
      await network.exec(side, ["ip", "link", "set", name, "down"]);
      await network.exec(side, ["ip", "link", "set", name, "up"]);
    }
    await until("an answer", () => answers(scene, 1000));
    await untilForwarded(scene, 100);
  }
  const { wrong, moved } = await clients.stop();
  assert.deepEqual({ wrong, moved }, { wrong: 0, moved: 0 });
  const status = await settled(box);
  assert.deepEqual(status.interfaces.map(({ state, reattachments }) => [state, reattachments]), [
    ["attached", 0],
    ["attached", 0],
  ]);
  assert.equal(status.workers[0]!.thread, thread, "no restart");
});
