import assert from "node:assert/strict";
import { FakeTimers } from "../../tests/support/fake_timers.ts";
import { LogRecords } from "../../tests/support/log_records.ts";
import { ControlSocket } from "./control_socket.ts";

interface Rig {
  readonly path: string;
  readonly log: LogRecords;
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
  const socket = await ControlSocket.open(
    { socket: path, group: null },
    (_, response) => void response.end("here"),
    timers,
  );
  try {
    await test({
      path,
      log,
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
  withSocket(async ({ path, log, look, ask }) => {
    await Deno.remove(path);
    await Deno.writeTextFile(path, "precious");
    for (let looks = 0; looks < 3; looks++) await look();
    assert.deepEqual(log.lines, [
      `warning: The control socket ${path} has been replaced: it is made again when that is gone`,
    ]);
    assert.equal(await Deno.readTextFile(path), "precious");
    await Deno.remove(path);
    await look();
    await until(() => log.lines.length === 3);
    assert.equal(await ask(), "here");
  }));

Deno.test("ControlSocket removes itself when it is closed", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/control.sock`;
    const socket = await ControlSocket.open({ socket: path, group: null }, () => {}, new FakeTimers());
    await socket.close();
    await assert.rejects(Deno.lstat(path), Deno.errors.NotFound);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
