import assert from "node:assert/strict";
import { FakeTimers } from "../../tests/support/fake_timers.ts";
import { LogRecords } from "../../tests/support/log_records.ts";
import type { FoundProblem } from "../observe/problems/kinds.ts";
import { ControlSocket } from "./control_socket.ts";

interface Rig {
  readonly path: string;
  readonly log: LogRecords;
  /** What it has said about its place, or that all is well again. */
  readonly lost: readonly (FoundProblem | undefined)[];
  /** Lets it look once. */
  readonly look: () => Promise<void>;
  /** What it has answered, or undefined where nobody answers. */
  readonly ask: () => Promise<string | undefined>;
}

async function withSocket(test: (rig: Rig) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/run/control.sock`;
  await Deno.mkdir(`${folder}/run`);
  using log = new LogRecords();
  const timers = new FakeTimers();
  const lost: (FoundProblem | undefined)[] = [];
  const socket = await ControlSocket.open(
    { socket: path, group: null },
    (_, response) => void response.end("here"),
    { timers, onLost: (problem) => lost.push(problem) },
  );
  try {
    await test({
      path,
      log,
      lost,
      look: () => timers.pass(250),
      ask: async () => {
        using client = Deno.createHttpClient({ proxy: { transport: "unix", path } });
        return await fetch("http://localhost/", { client }).then((answer) => answer.text(), () => undefined);
      },
    });
  } finally {
    await socket.close();
    await Deno.remove(folder, { recursive: true });
  }
}

/** Waits as long as it takes: an answer hangs on no clock of the test's. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
}

Deno.test("ControlSocket is made again, with the same mode, when somebody removes it", () =>
  withSocket(async ({ path, log, look, ask }) => {
    for (
      const remove of [
        () => Deno.remove(path),
        () => Deno.remove(path.replace("/control.sock", ""), { recursive: true }),
      ]
    ) {
      const lines = log.lines.length;
      await remove();
      assert.equal(await ask(), undefined);
      await look();
      await until(() => log.lines.length === lines + 2);
      assert.equal(await ask(), "here");
      assert.equal((await Deno.lstat(path)).mode! & 0o777, 0o600);
    }
    await look();
    assert.deepEqual(log.lines.slice(0, 2), [
      `warning: The control socket ${path} has been removed: it is made again`,
      `info: The control socket ${path} is there again`,
    ]);
    assert.equal(log.lines.length, 4);
  }));

Deno.test("ControlSocket leaves alone what stands in its place, says so once, and comes back when that is gone", () =>
  withSocket(async ({ path, log, lost, look, ask }) => {
    await Deno.remove(path);
    await Deno.writeTextFile(path, "precious");
    for (let looks = 0; looks < 3; looks++) await look();
    assert.deepEqual(log.lines, [
      `warning: The control socket ${path} has been replaced: it is made again when that is gone`,
    ]);
    assert.equal(await Deno.readTextFile(path), "precious");
    assert.deepEqual(lost, [{
      kind: "control_socket_lost",
      subject: path,
      message: `A regular file has taken the place of the control socket ${path}: no command reaches this xdpsteer`,
      fix: `ls -l ${path} shows what it is; mv ${path} ${path}.found: the socket is made again at once`,
    }]);
    await Deno.remove(path);
    await look();
    await until(() => log.lines.length === 3);
    assert.equal(await ask(), "here");
    assert.deepEqual(lost.slice(1), [undefined]);
  }));

Deno.test("ControlSocket waits for its place where it may, and says what it waits for", async () => {
  const folder = await Deno.makeTempDir();
  const [path, timers] = [`${folder}/control.sock`, new FakeTimers()];
  const lost: (string | undefined)[] = [];
  using log = new LogRecords();
  await Deno.writeTextFile(path, "precious");
  const config = { socket: path, group: null };
  await assert.rejects(ControlSocket.open(config, () => {}, { timers }), /Cannot open the control socket/);
  assert.deepEqual(log.lines, []);
  const socket = await ControlSocket.open(config, () => {}, {
    timers,
    patient: true,
    onLost: (problem) => lost.push(problem?.message),
  });
  try {
    assert.match(lost.join(), /^A regular file has taken the place of/);
    await Deno.rename(path, `${path}.found`);
    await timers.pass(250);
    await until(() => lost.length === 2);
    assert.equal(lost[1], undefined);
    assert.ok((await Deno.lstat(path)).isSocket);
  } finally {
    await socket.close();
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("ControlSocket removes itself when it is closed", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/control.sock`;
    const socket = await ControlSocket.open({ socket: path, group: null }, () => {}, { timers: new FakeTimers() });
    await socket.close();
    await assert.rejects(Deno.lstat(path), Deno.errors.NotFound);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
