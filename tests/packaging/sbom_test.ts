/** The bill of materials that a release carries. Needs dist/xdpsteer. */
import assert from "node:assert/strict";
import { sbom } from "../../scripts/sbom.ts";
import { sha256 } from "../../scripts/package_parts.ts";
import { binary, ROOT, succeed } from "./support.ts";

interface Component {
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly hashes: readonly { readonly alg: string; readonly content: string }[];
}

Deno.test("the SBOM has a time, the tool that made it and a hash of each part, and is the same each time", async () => {
  const text = await sbom(binary());
  assert.equal(await sbom(binary()), text);
  const { metadata, components } = JSON.parse(text);
  const committed = Number(await succeed("git", "log", "-1", "--format=%ct"));
  const epoch = Deno.env.get("SOURCE_DATE_EPOCH");
  assert.equal(Date.parse(metadata.timestamp) / 1000, Number(epoch ?? committed));
  const { version } = JSON.parse(await Deno.readTextFile(`${ROOT}/deno.json`));
  const [tool, ...others] = metadata.tools.components;
  assert.deepEqual([tool.type, tool.version, others], ["application", version, []]);

  assert.deepEqual(metadata.component.hashes, [{ alg: "SHA-256", content: await sha256(binary()) }]);
  const parts: Component[] = components;
  for (const { name, version, purl, hashes: [hash] } of parts) {
    assert.match(`${hash?.alg} ${hash?.content}`, /^SHA-(256 [0-9a-f]{64}|512 [0-9a-f]{128})$/, name);
    assert.ok(purl.startsWith("pkg:") && version !== "", name);
  }
  const deno = parts.find(({ name }) => name === "deno")!;
  assert.equal(deno.hashes[0]!.content, await sha256(Deno.execPath()));
  const libbpf = parts.find(({ name }) => name === "libbpf1")!;
  assert.equal(libbpf.hashes[0]!.content, await sha256(await librarySource("libbpf.so.1")), "the one that goes in");
  const { npm } = JSON.parse(await Deno.readTextFile(`${ROOT}/deno.lock`));
  const yaml = parts.find(({ name }) => name === "yaml")!;
  assert.equal(Uint8Array.fromHex(yaml.hashes[0]!.content).toBase64(), npm[`yaml@${yaml.version}`].integrity.slice(7));
});

Deno.test("SOURCE_DATE_EPOCH is the SBOM's time where it is set", async () => {
  const before = Deno.env.get("SOURCE_DATE_EPOCH");
  Deno.env.set("SOURCE_DATE_EPOCH", "1000000000");
  try {
    assert.equal(JSON.parse(await sbom(binary())).metadata.timestamp, "2001-09-09T01:46:40.000Z");
  } finally {
    if (before === undefined) Deno.env.delete("SOURCE_DATE_EPOCH");
    else Deno.env.set("SOURCE_DATE_EPOCH", before);
  }
});

async function librarySource(name: string): Promise<string> {
  const line = (await succeed("/sbin/ldconfig", "-p")).split("\n").find((text) => text.trim().startsWith(`${name} `));
  return line!.split(" => ")[1]!;
}
