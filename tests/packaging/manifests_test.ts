/**
 * The files for Kubernetes and for container images: right by the rules of their makers, and with the properties that
 * matter.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { validate } from "npm:dockerfile-utils@0.16.3";
import { parse } from "yaml";
import { FIXED } from "../../src/appliance/fixed.ts";
import type { Kinds, Manifest } from "./kubernetes.ts";
import { readManifests, typeErrors } from "./kubernetes.ts";
import { exists, ROOT, run, succeed, temporaryFolder } from "./support.ts";

const KUBERNETES = join(ROOT, "packaging/kubernetes");
const METRICS = join(KUBERNETES, "metrics");
const CONTAINERFILE = join(ROOT, "packaging/oci/Containerfile");

const [configMap] = await readManifests(join(KUBERNETES, "configmap.yaml")) as unknown as [Kinds["ConfigMap"]];
const [daemonSet] = await readManifests(join(KUBERNETES, "daemonset.yaml")) as unknown as [Kinds["DaemonSet"]];
const [patch] = await readManifests(join(METRICS, "daemonset-patch.yaml")) as unknown as [Kinds["DaemonSet"]];
const pod = daemonSet.spec!.template.spec!;
const container = pod.containers[0]!;

Deno.test("the manifests have the types that Kubernetes gives them", async () => {
  const rbac = await readManifests(join(METRICS, "rbac.yaml"));
  const plain = [configMap, daemonSet] as unknown as Manifest[];
  // A strategic merge patch need not be complete: on its own it lacks what it changes.
  const patched = { ...patch, spec: { ...patch.spec, selector: daemonSet.spec!.selector } } as unknown as Manifest;
  assert.equal(await typeErrors([...plain, ...rbac, patched]), "");
});

Deno.test("a misspelt field in a manifest is found", async () => {
  const typo = structuredClone(daemonSet) as unknown as Manifest & {
    spec: { template: { spec: { hostNetwrok: true } } };
  };
  typo.spec.template.spec.hostNetwrok = true;
  assert.match(await typeErrors([typo]), /hostNetwrok/);
});

Deno.test("what is deployed passes the program's own check", async () => {
  await using folder = await temporaryFolder();
  const files = { kubernetes: configMap.data!["steering.yaml"]!, debian: await debianConfig() };
  for (const [name, text] of Object.entries(files)) {
    const file = join(folder.path, `${name}.yaml`);
    await Deno.writeTextFile(file, text);
    const { steering } = JSON.parse(
      await succeed(Deno.execPath(), "run", "--quiet", "-A", "main.ts", "check", "-c", file, "--json"),
    );
    assert.deepEqual(steering, [], `${name}: as delivered nothing may be steered`);
    // The rules that are there as comments are the first thing that people use.
    await Deno.writeTextFile(file, text.replace("steering: []", "steering:").replaceAll(/^( *)# {2}- \{/gm, "$1  - {"));
    const used = await run(Deno.execPath(), "run", "--quiet", "-A", "main.ts", "check", "-c", file);
    assert.equal(used.code, 0, used.stdout + used.stderr);
    assert.match(used.stdout, /, 3 rules\n/);
  }
});

Deno.test("the pod is on the host's network with five capabilities and nothing more", () => {
  assert.equal(pod.hostNetwork, true);
  assert.equal(pod.automountServiceAccountToken, false);
  assert.deepEqual(container.securityContext!.capabilities, {
    drop: ["ALL"],
    add: ["NET_ADMIN", "NET_RAW", "BPF", "PERFMON", "IPC_LOCK"],
  });
  assert.equal(container.securityContext!.privileged, false);
  assert.equal(container.securityContext!.readOnlyRootFilesystem, true);
  assert.deepEqual(daemonSet.spec!.selector.matchLabels, daemonSet.spec!.template.metadata!.labels);
});

/** Where a feature writes: the control socket, captures, what is unpacked. */
const WRITTEN = ["/run/xdpsteer", "/var/lib/xdpsteer", "/var/cache/xdpsteer"];

Deno.test("on a read-only root there is a place for everything that is written", async () => {
  const mounts = container.volumeMounts!.filter(({ readOnly }) => readOnly !== true).map(({ mountPath }) => mountPath);
  assert.deepEqual(WRITTEN.filter((path) => !mounts.includes(path)), []);
  const [, volumes = "[]"] = /^VOLUME (.*)$/m.exec(await Deno.readTextFile(CONTAINERFILE)) ?? [];
  assert.deepEqual(WRITTEN.filter((path) => !JSON.parse(volumes).includes(path)), []);
});

Deno.test("the ConfigMap is mounted as a folder, so that the kubelet's swap of the link is seen", () => {
  const mount = container.volumeMounts!.find(({ mountPath }) => mountPath === "/etc/xdpsteer")!;
  assert.equal(mount.subPath, undefined);
  assert.equal(mount.readOnly, true);
  const volume = pod.volumes!.find(({ name }) => name === mount.name)!;
  assert.equal(volume.configMap!.name, configMap.metadata!.name);
  assert.deepEqual(volume.configMap!.items, undefined);
  assert.deepEqual(container.args, ["run", "--config", "/etc/xdpsteer/steering.yaml"]);
});

Deno.test("probes ask where the configuration listens", () => {
  const { http } = parse(configMap.data!["steering.yaml"]!).control;
  const asked = ({ httpGet }: NonNullable<typeof container.livenessProbe>): string =>
    `${httpGet!.host}:${httpGet!.port}${httpGet!.path}`;
  assert.equal(asked(container.readinessProbe!), `${http}/readyz`);
  assert.equal(asked(container.livenessProbe!), `${http}/livez`);
  assert.equal(asked(container.startupProbe!), `${http}/livez`);
  const proxy = patch.spec!.template.spec!.containers[0]!;
  assert.ok(proxy.args!.includes(`--upstream=http://${http}/`));
  assert.ok(proxy.args!.includes("--allow-paths=/metrics"));
  const { annotations } = patch.spec!.template.metadata!;
  assert.equal(annotations!["prometheus.io/port"], String(proxy.ports![0]!.containerPort));
});

Deno.test("the kustomizations name files that exist, and the version of deno.json", async () => {
  const { version } = JSON.parse(await Deno.readTextFile(join(ROOT, "deno.json")));
  const base = parse(await Deno.readTextFile(join(KUBERNETES, "kustomization.yaml")));
  const metrics = parse(await Deno.readTextFile(join(METRICS, "kustomization.yaml")));
  for (const file of base.resources) assert.ok(await exists(join(KUBERNETES, file)), file);
  for (const file of [...metrics.resources, ...metrics.patches.map((entry: { path: string }) => entry.path)]) {
    assert.ok(await exists(join(METRICS, file)), file);
  }
  assert.deepEqual(base.images.map((image: { name: string; newTag: string }) => [image.name, image.newTag]), [
    [container.image, version],
  ]);
});

Deno.test("the Containerfile is clean, and copies files that exist", async () => {
  const text = await Deno.readTextFile(CONTAINERFILE);
  assert.deepEqual(validate(text).map(({ message, range }) => `${range.start.line + 1}: ${message}`), []);
  const copied = [...text.matchAll(/^COPY (?:--\S+ )*(.+) \S+$/gm)].flatMap(([, sources]) => sources!.split(" "));
  assert.ok(copied.includes("dist/xdpsteer"), copied.join());
  for (const source of copied) {
    if (source !== "dist/xdpsteer") assert.ok(await exists(join(ROOT, source)), source); // that one is built
  }
  assert.match(text, /^ENTRYPOINT \["\/usr\/bin\/xdpsteer"\]$/m);
});

Deno.test("every image is one version: by its digest, or by a tag that names a version", async () => {
  const images = /^\s*FROM (?:--\S+ )*(\S+)|^\s*(?:- )?image: (\S+)/gm;
  const found: string[] = [];
  for (const file of (await succeed("git", "ls-files", "packaging")).trim().split("\n")) {
    const text = await Deno.readTextFile(join(ROOT, file));
    for (const [, from, image] of text.matchAll(images)) found.push((from ?? image)!);
  }
  assert.ok(found.some((image) => image.includes("distroless")), found.join(", "));
  assert.deepEqual(found.filter((image) => !/@sha256:[0-9a-f]{64}$|:v?\d+\.\d+\.\d+$/.test(image)), [
    container.image, // kustomization.yaml gives it a name and a version
  ]);
});

Deno.test("wherever a document lists the sections that a process cannot change, it lists all of them", async () => {
  const files = (await succeed("git", "ls-files", "*.md", "packaging", "config/*.yaml")).trim().split("\n");
  const lists: string[] = [];
  for (const file of files) {
    const text = (await Deno.readTextFile(join(ROOT, file))).replace(/\s+/g, " ");
    for (const [sentence] of text.matchAll(/[^.:;]*`interfaces`[^.]*`workers`[^.]*\brestart\b[^.]*/g)) {
      lists.push(file);
      for (const section of FIXED) {
        assert.ok(sentence.includes(`\`${section}\``), `${file} forgets ${section}: ${sentence}`);
      }
    }
  }
  assert.ok(lists.includes("packaging/kubernetes/README.md") && lists.includes("README.md"), lists.join());
});

async function debianConfig(): Promise<string> {
  return await Deno.readTextFile(join(ROOT, "packaging/debian/steering.yaml"));
}
