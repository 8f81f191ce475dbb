/** What the unit's sandbox lets through, tried under a systemd of its own. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { UNIT_FILE } from "../support/systemd_unit.ts";
import { type Confinement, NEEDED_CAPABILITIES } from "../../src/host/privileges.ts";
import { binary, ROOT, run, temporaryFolder } from "./support.ts";

const BOOT = join(ROOT, "tests/packaging/boot_systemd.sh");
const PROBE = join(ROOT, "tests/packaging/sandbox_probe.py");
/** Booting takes a second or two. */
const LIMIT_S = 120;

/** Starts something else in place of the service, with the group that the hint of control.group asks for. */
const instead = (command: string): string =>
  `[Unit]
Wants=
[Service]
Type=oneshot
WatchdogSec=0
Restart=no
ExecStart=
ExecStart=${command}
StandardOutput=file:/lab/probe
StandardError=file:/lab/complaints
SupplementaryGroups=games
# The root of this system is a directory in it, so that a right to write there would be one to write anywhere.
InaccessiblePaths=/lab
`;
const TRY = "/usr/bin/python3 /usr/local/share/sandbox_probe.py";
const SECURITY = "/usr/local/share/xdpsteer version --security --json";

/** A backend for checks of each kind, under addresses that are not loopback's. */
const MAIN = `#!/bin/sh
set -e
mkdir -p /usr/local/share && cp /lab/sandbox_probe.py /lab/xdpsteer /usr/local/share/
ip link set lo up
ip address add 192.0.2.1/32 dev lo
ip address add 2001:db8::1/128 dev lo
/usr/bin/python3 -c '
import socket, threading
tcp = socket.create_server(("::", 5300), family=socket.AF_INET6, dualstack_ipv6=True)
udp = {}
for family, address in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
    udp[family] = socket.socket(family, socket.SOCK_DGRAM)
    udp[family].bind((address, 5300))
def echo(server):
    while True:
        data, peer = server.recvfrom(100)
        server.sendto(data, peer)
for server in udp.values(): threading.Thread(target=echo, args=(server,)).start()
print("ready", flush=True)
' >/run/backend &
until grep -q ready /run/backend; do sleep 0.05; done
systemctl start xdpsteer.service || systemctl --no-pager status xdpsteer.service
`;

async function read(path: string): Promise<string> {
  return await Deno.readTextFile(path).catch(() => "");
}

/** @returns what the probe found not to work, by name. */
async function probed(unit: string): Promise<Record<string, string>> {
  return await started(unit, TRY);
}

/** @returns what a command prints that the unit starts. */
async function started<Answer>(unit: string, command: string): Promise<Answer> {
  await using folder = await temporaryFolder();
  const units = join(folder.path, "etc/systemd/system");
  await Deno.mkdir(`${units}/xdpsteer.service.d`, { recursive: true });
  await Deno.mkdir(join(folder.path, "etc/xdpsteer"));
  await Deno.writeTextFile(join(folder.path, "etc/xdpsteer/steering.yaml"), "version: 1\n");
  await Deno.writeTextFile(`${units}/xdpsteer.service`, unit);
  await Deno.writeTextFile(`${units}/xdpsteer.service.d/probe.conf`, instead(command));
  await Deno.writeTextFile(join(folder.path, "main"), MAIN, { mode: 0o755 });
  await Deno.copyFile(binary(), join(folder.path, "xdpsteer"));
  await Deno.copyFile(PROBE, join(folder.path, "sandbox_probe.py"));
  const { stdout, stderr } = await run("timeout", "--kill-after=5", `${LIMIT_S}`, BOOT, folder.path);
  const found = await read(join(folder.path, "probe"));
  const about = await Promise.all(["complaints", "output"].map((name) => read(join(folder.path, name))));
  assert.ok(found.startsWith("{"), [stdout, stderr, ...about].join("\n"));
  return JSON.parse(found);
}

Deno.test("everything that a feature needs works in the unit's sandbox", async () => {
  assert.deepEqual(await probed(await Deno.readTextFile(UNIT_FILE)), {});
});

Deno.test("under the unit the program gives up the same as by hand", async () => {
  const unit = await Deno.readTextFile(UNIT_FILE);
  const { bounding: _, user, ...state } = await started<Confinement>(unit, SECURITY);
  assert.ok(user >= 61184, `${user} is a user that systemd made for it`);
  assert.deepEqual({ ...state, capabilities: state.capabilities.toSorted() }, {
    capabilities: NEEDED_CAPABILITIES.toSorted(),
    ...{ noNewPrivileges: true, landlock: true, coreDumps: false, packaging: "self-extracting" },
    seccompFilters: state.seccompFilters, // those of systemd, which makes several, and ours
  });
  assert.ok(state.seccompFilters > 1, `${state.seccompFilters}`);
});

Deno.test("a sandbox that is too narrow is noticed", async () => {
  const unit = await Deno.readTextFile(UNIT_FILE);
  const narrow = "IPAddressDeny=192.0.2.1\nRestrictAddressFamilies=~AF_NETLINK\n\n[Install]";
  const failures = Object.keys(await probed(unit.replace("[Install]", narrow)));
  assert.ok(failures.includes("a UDP health check, AF_INET"), failures.join());
  assert.ok(failures.includes("an ICMP health check, AF_INET"), failures.join());
  assert.ok(failures.includes("rtnetlink, for next hops"), failures.join());
});
