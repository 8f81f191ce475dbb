import assert from "node:assert/strict";
import { lowerDevices, upperBond } from "./stacking.ts";

/** A sysfs with a bond of two, a VLAN device on one that is alone, and a bridge with a port. */
async function withSysfs(test: (sysfs: string) => void): Promise<void> {
  const sysfs = await Deno.makeTempDir({ prefix: "xdpsteer-sysfs-" });
  const device = async (name: string, type: string, lower: readonly string[] = []): Promise<void> => {
    await Deno.mkdir(`${sysfs}/${name}`);
    await Deno.writeTextFile(`${sysfs}/${name}/uevent`, `${type === "" ? "" : `DEVTYPE=${type}\n`}INTERFACE=${name}\n`);
    for (const below of lower) {
      await Deno.symlink(`../${below}`, `${sysfs}/${name}/lower_${below}`);
      if (type !== "vlan") await Deno.symlink(`../${name}`, `${sysfs}/${below}/master`);
    }
  };
  try {
    for (const name of ["eth0", "eth1", "eth2", "eth3"]) await device(name, "");
    await device("bond0", "bond", ["eth1", "eth0"]);
    await device("eth2.5", "vlan", ["eth2"]);
    await device("br0", "bridge", ["eth3"]);
    test(sysfs);
  } finally {
    await Deno.remove(sysfs, { recursive: true });
  }
}

Deno.test("upperBond() has all members, and takes no bridge for a bond", () =>
  withSysfs((sysfs) => {
    assert.deepEqual(upperBond("eth0", sysfs), { name: "bond0", members: ["eth0", "eth1"] });
    for (const name of ["eth2", "eth3", "bond0", "nope"]) assert.equal(upperBond(name, sysfs), undefined, name);
  }));

Deno.test("lowerDevices() are those of bonds and VLAN devices", () =>
  withSysfs((sysfs) => {
    assert.deepEqual(lowerDevices("bond0", sysfs), { kind: "bond", devices: ["eth0", "eth1"] });
    assert.deepEqual(lowerDevices("eth2.5", sysfs), { kind: "vlan", devices: ["eth2"] });
    for (const name of ["eth0", "br0", "nope"]) assert.equal(lowerDevices(name, sysfs), undefined, name);
  }));
