import assert from "node:assert/strict";
import { driverName, type Feature, readChannels, readFeatures } from "../../src/ffi/ethtool.ts";

/** Names that ethtool(8) gives to features which doctor asks for, by their names in the kernel. */
const OLD_NAMES = { "rx-vlan-offload": "rx-vlan-hw-parse", "large-receive-offload": "rx-lro", highdma: "highdma" };

async function ethtool(...args: string[]): Promise<string> {
  const { success, stdout } = await new Deno.Command("ethtool", { args }).output();
  assert.ok(success, args.join(" "));
  return new TextDecoder().decode(stdout);
}

/** What `ethtool -k` says, by the kernel's names. */
async function listed(name: string): Promise<Map<string, Feature>> {
  const lines = [...(await ethtool("-k", name)).matchAll(/^\s*(\S+): (on|off)( \[fixed\])?( \[requested.*\])?$/gm)];
  return new Map(lines.map(([, word, state, fixed]) => {
    const kernels = (OLD_NAMES as Readonly<Record<string, string>>)[word!] ?? word!;
    return [kernels, { active: state === "on", changeable: fixed === undefined }];
  }));
}

Deno.test("features, driver and channels are read as ethtool(8) shows them", async () => {
  const name = "lo";
  const features = readFeatures(name);
  const shown = await listed(name);
  const common = [...features.keys()].filter((feature) => shown.has(feature));
  assert.ok(common.length > 30, `${common.length} features have the same name in both`);
  for (const feature of ["rx-vlan-hw-parse", "rx-lro", "rx-gro-hw"]) assert.ok(common.includes(feature), feature);
  for (const feature of common) assert.deepEqual(features.get(feature), shown.get(feature), feature);
  const differing = new Set(common.map((feature) => JSON.stringify(features.get(feature))));
  assert.ok(differing.size >= 3, "some are on, some off, some fixed");
});

Deno.test("an interface that is not there has no features, driver or channels", () => {
  assert.equal(readFeatures("nope0").size, 0);
  assert.equal(driverName("nope0"), "");
  assert.equal(readChannels("nope0"), undefined);
});
