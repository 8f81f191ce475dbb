/** The bill of materials of the one file, in CycloneDX 1.6. The same commit gives the same document. */
import project from "../deno.json" with { type: "json" };
import { type Component, components } from "./notices.ts";
import { sha256, sourceDate } from "./package_parts.ts";

/** @param binary The one file that it describes. @returns JSON. */
export async function sbom(binary: string): Promise<string> {
  const [own, ...others] = (await components()).map(described);
  const document = {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: {
      timestamp: new Date(await sourceDate() * 1000).toISOString(),
      tools: { components: [{ type: "application", name: "xdpsteer scripts/sbom.ts", version: project.version }] },
      component: { ...own!, hashes: [{ alg: "SHA-256", content: await sha256(binary) }] },
    },
    components: others,
    dependencies: [{ ref: own!["bom-ref"], dependsOn: others.map((other) => other["bom-ref"]) }],
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

/** What is used of CycloneDX's component. */
interface Described {
  readonly type: "application" | "library";
  readonly "bom-ref": string;
  readonly name: string;
  readonly version: string;
  readonly hashes?: readonly NonNullable<Component["hash"]>[];
  readonly licenses: readonly { readonly expression: string }[];
  readonly purl: string;
}

function described({ name, version, licence, hash }: Component): Described {
  return {
    type: name === "xdpsteer" ? "application" : "library",
    "bom-ref": `${name}@${version}`,
    name,
    version,
    ...(hash === undefined ? {} : { hashes: [hash] }),
    licenses: [{ expression: licence }],
    purl: purl(name, version),
  };
}

function purl(name: string, version: string): string {
  if (name === "xdpsteer") return `pkg:generic/xdpsteer@${version}`;
  const isNative = /^lib|^zlib/.test(name);
  return isNative
    ? `pkg:deb/debian/${name}@${encodeURIComponent(version)}`
    : `pkg:npm/${name.replace("@", "%40")}@${version}`;
}
