import assert from "node:assert/strict";
import type { Problem } from "../../src/observe/problems/kinds.ts";
import { TestNetwork } from "../support/netns.ts";
import { startAppliance } from "./support/appliance.ts";
import { finish, productCommand } from "./support/command.ts";
import type { TestConfig } from "./support/config.ts";
import { sendRaw } from "./support/http_clients.ts";
import { until } from "./support/wait.ts";

const PORT = 9471;
const CONFIG: TestConfig = {
  rules: ["{ name: game, ports: 8080, worker: 0 }"],
  workers: 1,
  http: `127.0.0.1:${PORT}`,
};
const PROBLEMS = "GET /v1/problems HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

Deno.test("a control socket that is removed is made again, and what stands in its place is left alone at the end", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, CONFIG);
  const answers = (): Promise<boolean> => box.request("GET", "/livez").then(({ code }) => code === 200, () => false);
  await Deno.remove(box.socket);
  await until("the socket", answers);
  await until("a word about it", () => box.log.some(({ message }) => message.includes("has been removed: it is made")));
  await Deno.remove(box.socket);
  await Deno.writeTextFile(box.socket, "precious");
  await until("a word about it", () => box.log.some(({ message }) => message.includes("has been replaced")));
  const problems = async (list: "endedProblems" | "problems"): Promise<readonly Problem[]> => {
    const [answer] = await sendRaw(network, [{ to: PORT, bytes: PROBLEMS }]);
    return JSON.parse(answer!.body)[list].filter(({ kind }: Problem) => kind === "control_socket_lost");
  };
  await until("a problem", async () => (await problems("problems")).length === 1);
  const [{ subject, message, fix }] = await problems("problems") as [Problem];
  assert.deepEqual(subject, { kind: "file", name: box.socket });
  assert.match(
    `${message}: ${fix}`,
    /^A regular file has taken the place of .*mv .*: the socket is made again at once$/,
  );
  await Deno.remove(box.socket);
  await until("its end", async () => (await problems("endedProblems")).length === 1 && await answers());
  assert.deepEqual(await problems("problems"), []);

  await Deno.remove(box.socket);
  await Deno.writeTextFile(box.socket, "precious");
  await until("a problem again", async () => (await problems("problems")).length === 1);
  box.signal("SIGTERM");
  assert.equal((await box.ended()).code, 0, box.stderr);
  assert.equal(await Deno.readTextFile(box.socket), "precious");
});

Deno.test("a second start leaves the socket of one that does not answer, with a full backlog, alone", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, CONFIG);
  const { ino } = await Deno.lstat(box.socket);
  const second = [...productCommand(), "run", "--config", box.configFile];
  box.signal("SIGSTOP");
  try {
    using waiting = new DisposableStack();
    for (let full = false; !full;) {
      await Deno.connect({ transport: "unix", path: box.socket }).then((one) => waiting.use(one), (error) => {
        assert.ok(error instanceof Deno.errors.WouldBlock, error);
        full = true;
      });
    }
    const { code, stderr } = await finish(network, second);
    assert.equal(code, 1);
    assert.match(stderr, /may use the control socket ".*": its listener is too busy to answer/);
    assert.equal((await Deno.lstat(box.socket)).ino, ino);
    await Deno.remove(box.socket);
    assert.match((await finish(network, second)).stderr, /^xdpsteer: Another xdpsteer has the control socket/);
    await assert.rejects(Deno.lstat(box.socket), Deno.errors.NotFound);
  } finally {
    box.signal("SIGCONT");
  }
  await until("its own socket", () => box.request("GET", "/livez").then(({ code }) => code === 200, () => false));
  box.signal("SIGTERM");
  assert.equal((await box.ended()).code, 0, box.stderr);
});

Deno.test("no inotify instance is needed, of which a machine may have none left", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, CONFIG);
  const { stdout } = await new Deno.Command("ls", { args: ["-l", `/proc/${box.pid}/fd`] }).output();
  const open = new TextDecoder().decode(stdout);
  assert.match(open, /anon_inode:/);
  assert.doesNotMatch(open, /inotify/);
});
