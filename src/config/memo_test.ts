import assert from "node:assert/strict";
import { loadConfig } from "./load.ts";
import { ConfigMemo } from "./memo.ts";
import { parseConfig } from "./parse.ts";

const EVERYTHING = `version: 1
interfaces: [{ name: eth0, queues: [0, 2] }, { name: eth1 }]
workers: { count: auto, cpus: [0, 1] }
steering:
  - { name: plain, ports: [1, "5-9"] }
  - name: to-backends
    ports: 53
    action:
      forward:
        to: ["10.0.0.1:53"]
        health: { check: udp, expect: pong }
    capture: { file: /var/lib/xdpsteer/dns.pcapng }
  - { name: off, ports: 17, action: drop }
control: { http: "off", group: none }
`;

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

async function withMemo(test: (memo: ConfigMemo, folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await test(new ConfigMemo(folder), folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("ConfigMemo gives back exactly what was checked, for the same bytes and CPUs only", () =>
  withMemo(async (memo, folder) => {
    const content = bytes(EVERYTHING);
    assert.equal(memo.recall(content, 2), undefined);
    const config = parseConfig(content, { file: "steering.yaml", cpuCount: 2 });
    await memo.remember(content, 2, config);
    // To the last key: the reloader compares with what is parsed anew.
    assert.deepStrictEqual(new ConfigMemo(folder).recall(content, 2), config);
    assert.equal(memo.recall(content, 3), undefined);
    assert.equal(memo.recall(bytes(EVERYTHING.replace("53", "54")), 2), undefined);
    assert.equal(memo.recall(bytes(`${EVERYTHING} `), 2), undefined);
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["config.checked"]);
    assert.equal((await Deno.stat(`${folder}/config.checked`)).mode! & 0o777, 0o600);
  }));

Deno.test("ConfigMemo remembers the last one, whatever order they come in", () =>
  withMemo(async (memo) => {
    const texts = [7, 8, 9].map((port) =>
      `version: 1\ninterfaces: [{ name: eth0 }]\nsteering: [{ name: a, ports: ${port} }]\n`
    );
    await Promise.all(
      texts.map((text) => memo.remember(bytes(text), 1, parseConfig(text, { file: "f", cpuCount: 1 }))),
    );
    const known = texts.map((text) => memo.recall(bytes(text), 1)?.steering[0]?.ports[0]?.first);
    assert.deepEqual(known, [undefined, undefined, 9]);
  }));

Deno.test("loadConfig() takes what is remembered, and checks where it is harmed or nowhere", () =>
  withMemo(async (memo, folder) => {
    const file = `${folder}/steering.yaml`;
    await Deno.writeTextFile(file, EVERYTHING);
    const { config, content } = await loadConfig(file, { cpuCount: 2, memo });
    await memo.remember(content, 2, { ...config, steering: [] });
    assert.deepEqual((await loadConfig(file, { cpuCount: 2, memo })).config.steering, [], "from the memo");
    const path = `${folder}/config.checked`;
    const whole = await Deno.readFile(path);
    for (const harmed of [whole.subarray(0, 20), whole.subarray(0, whole.length - 1), new Uint8Array(whole.length)]) {
      await Deno.writeFile(path, harmed);
      assert.deepStrictEqual((await loadConfig(file, { cpuCount: 2, memo })).config, config);
    }
    const nowhere = new ConfigMemo(`${folder}/none`);
    await nowhere.remember(content, 2, config);
    assert.deepStrictEqual((await loadConfig(file, { cpuCount: 2, memo: nowhere })).config, config);
  }));
