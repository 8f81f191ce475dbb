/** `forwarding.addresses`: own addresses that sessions are translated to, changed while packets come. */
import assert from "node:assert/strict";
import type { Finding } from "../../src/doctor/doctor.ts";
import { TestNetwork } from "../support/netns.ts";
import { fatesOf, settled, strayAnswers } from "./support/accounts.ts";
import { startAppliance, type Status } from "./support/appliance.ts";
import { BACK, BackendHost, BOTH, Clients, FAMILIES, forwardConfig, forwardTo } from "./support/backends.ts";
import { until } from "./support/wait.ts";
import { finish, productCommand, TempDir } from "./support/command.ts";

const PORT = 8080;
/** 25 for each worker: 100 sessions with two backends. */
const PORTS = "61000-61049";
const CLIENTS = 120;
const HOSTS = [201, 202, 203];

const evictionsOf = ({ workers }: Status): number => workers.reduce((sum, { loop }) => sum + loop.evictions!, 0);

for (const family of BOTH) {
  Deno.test(`more translation addresses make room for more sessions while packets come, and answers reach them: ${family}`, async () => {
    const { net, prefix, service } = FAMILIES[family];
    const addresses = HOSTS.map(net);
    await using network = await TestNetwork.create();
    await using host = await BackendHost.create(network);
    for (const number of [1, 2]) await host.serve(family, number);
    const add = async (address: string): Promise<void> => {
      const nodad = family === "IPv6" ? ["nodad"] : [];
      await network.exec("steer", ["ip", "address", "add", `${address}/${prefix}`, "dev", BACK, ...nodad]);
    };
    for (const address of addresses.slice(0, 2)) await add(address);
    const rule = forwardTo(PORT, [1, 2], { families: [family] });
    const config = (socket: string, listed: readonly string[]): string =>
      forwardConfig(socket, [rule], {
        more: [`forwarding: { ports: ${PORTS}, addresses: ${JSON.stringify(listed)} }`],
      });
    await using box = await startAppliance(network, (socket) => config(socket, []), { favoured: true });
    const put = async (listed: readonly string[]): Promise<void> => {
      const { code, body } = await box.put(config(box.socket, listed));
      assert.equal(code, 200, body);
    };
    const converse = async (requests: number, window = 32): Promise<void> => {
      await using clients = await Clients.start(network, {
        address: service,
        port: PORT,
        clients: CLIENTS,
        requests,
        window,
      });
      const { lost, wrong, moved } = await clients.report();
      assert.deepEqual({ lost, wrong, moved }, { lost: 0, wrong: 0, moved: 0 });
    };

    // Sessions that were answered once or twice give way: nothing is lost, and more of them there cannot be.
    await converse(2, 1);
    const crowded = evictionsOf(await box.status());
    assert.ok(crowded >= CLIENTS - 100, `${crowded} sessions gave way`);

    await put(addresses);
    await until(
      "a warning",
      () =>
        box.stderr.includes(`has the translation address \\"${addresses[2]}\\"`) ||
        box.stderr.includes(`has the translation address ${addresses[2]}`),
    );
    const examined = await doctorOf(network, config(box.socket, addresses));
    assert.equal(examined.status, "problem");
    assert.ok(
      examined.text.startsWith(`${addresses[2]} is a translation address that no interface has`),
      examined.text,
    );
    assert.equal(examined.fix, `ip address add ${addresses[2]}/${family === "IPv6" ? 128 : 32} dev ${BACK}`);
    await add(addresses[2]!);
    assert.equal((await doctorOf(network, config(box.socket, addresses))).status, "ok");

    await converse(20);
    const status = await settled(box);
    assert.equal(evictionsOf(status), crowded, "there is room for all");
    assert.deepEqual(Object.keys(fatesOf(status, "web")), ["forwarded"]);

    // Sessions go on from another address when theirs is no longer listed.
    await using clients = await Clients.start(network, { address: service, port: PORT, clients: 50 });
    await clients.ready();
    await put(addresses.slice(0, 2));
    await network.exec("steer", ["ip", "address", "del", `${addresses[2]}/${prefix}`, "dev", BACK]);
    const from = (await box.status()).totals.received;
    await box.untilStatus("requests", ({ totals }) => totals.received >= from + 2000);
    const report = await clients.stop();
    assert.deepEqual({ wrong: report.wrong, moved: report.moved }, { wrong: 0, moved: 0 });
    const gone = strayAnswers(await settled(box)).no_session ?? 0;
    assert.ok(report.lost <= 50, `${report.lost} lost, ${gone} answers to what was gone: each client's last at most`);
  });
}

/** What the doctor says of the translation addresses. */
async function doctorOf(network: TestNetwork, text: string): Promise<Finding> {
  await using directory = await TempDir.create();
  const file = `${directory.path}/steering.yaml`;
  Deno.writeTextFileSync(file, text);
  const { stdout } = await finish(network, [...productCommand(), "doctor", "--json", "--no-probe", "--config", file]);
  const { findings } = JSON.parse(stdout) as { findings: Finding[] };
  return findings.find(({ check }) => check === "forwarding.addresses")!;
}
