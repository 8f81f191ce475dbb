/**
 * Kubernetes manifests against the types of Kubernetes itself, which the npm package kubernetes-types makes from its
 * OpenAPI description. The compiler does the check, so that a misspelt field is found as well: a schema would let it
 * pass.
 */
import type { DaemonSet } from "npm:kubernetes-types@1.30.0/apps/v1";
import type { ConfigMap, ServiceAccount } from "npm:kubernetes-types@1.30.0/core/v1";
import type { ClusterRole, ClusterRoleBinding } from "npm:kubernetes-types@1.30.0/rbac/v1";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { run, temporaryFolder } from "./support.ts";

/** The kinds that the manifests use, by `kind`. */
export interface Kinds {
  readonly ConfigMap: ConfigMap;
  readonly DaemonSet: DaemonSet;
  readonly ServiceAccount: ServiceAccount;
  readonly ClusterRole: ClusterRole;
  readonly ClusterRoleBinding: ClusterRoleBinding;
}

export type Manifest = { readonly kind: string } & Readonly<Record<string, unknown>>;

/** The documents of a YAML file; throws on what is not clean YAML. */
export async function readManifests(path: string): Promise<Manifest[]> {
  const documents = parseAllDocuments(await Deno.readTextFile(path), { strict: true, uniqueKeys: true });
  if (!Array.isArray(documents)) throw new Error(`${path} is empty`);
  return documents.map((document) => {
    const [problem] = [...document.errors, ...document.warnings];
    if (problem !== undefined) throw new Error(`${path}: ${problem.message}`);
    return document.toJS() as Manifest;
  });
}

/** What the compiler has to say against the manifests; empty when there is nothing. */
export async function typeErrors(manifests: readonly Manifest[]): Promise<string> {
  await using folder = await temporaryFolder();
  const module = join(folder.path, "manifests.ts");
  const lines = manifests.map((manifest) =>
    `({ ${manifest.kind}: ${JSON.stringify(manifest)} }) satisfies Pick<Kinds, ${JSON.stringify(manifest.kind)}>;`
  );
  await Deno.writeTextFile(module, [`import type { Kinds } from "${import.meta.url}";`, ...lines, ""].join("\n"));
  const { code, stdout, stderr } = await run(Deno.execPath(), "check", "--quiet", "--config", "deno.json", module);
  return code === 0 ? "" : stdout + stderr;
}
