/** What public tools do to an HTTP server: ab's load, and the slow clients of slowhttptest. */
import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { startAppliance } from "./support/appliance.ts";
import { sendRaw } from "./support/http_clients.ts";
import { memoryKib, peakKib, resetPeak } from "./support/memory.ts";

const PORT = 9469;
const CONFIG = { rules: ["{ name: game, ports: 8080, worker: 0 }"], http: `127.0.0.1:${PORT}` };
const URL = `http://127.0.0.1:${PORT}`;
const LIVE = "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const CONNECTIONS = "300";
/** Of each tool. The more come, the shorter each has its place, and a slow machine needs it. */
const PER_SECOND = "50";
const SECONDS = "7";
/** As kubelet asks before it restarts a pod. */
const TRIES = 3;
/** Half a request, half a body, an answer that is taken byte by byte: on more connections than have places. */
const SLOW = [
  ["-H", "-i", "1", "-u", `${URL}/metrics`],
  ["-B", "-i", "1", "-s", "8192", "-t", "PUT", "-u", `${URL}/v1/config`],
  ["-X", "-w", "10", "-y", "20", "-n", "1", "-z", "16", "-k", "3", "-u", `${URL}/metrics`],
];
const MEMORY_KIB = 32 * 1024;

async function isAlive(network: TestNetwork): Promise<boolean> {
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const [answer] = await sendRaw(network, [{ to: PORT, bytes: LIVE }]);
    if (answer!.status === 200) return true;
  }
  return false;
}

Deno.test("slowhttptest and ab find a server that answers others and them, and takes no more memory", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, CONFIG);
  const load = (path: string): Promise<string> =>
    network.exec("steer", ["ab", "-q", "-k", "-n", "2000", "-c", "50", `${URL}${path}`]);
  await load("/metrics");
  const before = memoryKib(box);
  resetPeak(box);

  let attacks = 0;
  const attacked = SLOW.map((words) =>
    network.exec("steer", ["slowhttptest", "-c", CONNECTIONS, "-r", PER_SECOND, "-l", SECONDS, "-p", "5", ...words])
      .finally(() => attacks++)
  );
  const all = Promise.all(attacked);
  all.catch(() => {}); // awaited below
  do {
    assert.equal((await box.request("GET", "/readyz")).code, 200);
    assert.ok(await isAlive(network), "over TCP too");
  } while (attacks < SLOW.length);
  for (const report of await all) assert.match(report, /(connected|closed): .*m +[1-9]/);
  for (const path of ["/readyz", "/metrics", "/v1/status"]) {
    const report = await load(path);
    assert.match(report, /^Complete requests: +2000$/m, path);
    assert.doesNotMatch(report, /^Non-2xx responses/m, path);
  }
  assert.ok(peakKib(box) < before + MEMORY_KIB, `${peakKib(box)} KiB, ${before} before`);
});
