import assert from "node:assert/strict";
import { withFolder } from "../../tests/support/folder.ts";
import { cannotOpen, claimAddresses } from "./claim.ts";

const right = (socket: string): Promise<Disposable> => claimAddresses({ socket, group: null, http: null, settle: 5 });
const claim = async (socket: string): Promise<void> => (await right(socket))[Symbol.dispose]();

/** A socket that its owner left behind: nobody listens, and the name is still there. */
async function leaveSocket(path: string): Promise<void> {
  const listener = Deno.listen({ transport: "unix", path: `${path}.first` });
  await Deno.rename(`${path}.first`, path);
  listener.close();
}

/** What stands in the socket's place, each with what it is called. */
const IN_THE_WAY: Readonly<Record<string, (path: string) => Promise<unknown>>> = {
  "a regular file": (path) => Deno.writeTextFile(path, "precious"),
  "a directory": (path) => Deno.mkdir(path),
  "a FIFO": (path) => new Deno.Command("mkfifo", { args: [path] }).output(),
  "a symbolic link": (path) => Deno.symlink("precious", path),
};

for (const [kind, make] of Object.entries(IN_THE_WAY)) {
  Deno.test(`claimAddresses() leaves ${kind} in the socket's place alone and says so`, () =>
    withFolder(async (folder) => {
      const path = `${folder}/control.sock`;
      await make(path);
      const before = await Deno.lstat(path);
      await assert.rejects(claim(path), {
        name: "SteerError",
        message: `Cannot open the control socket "${path}": ${kind} is there: expected a socket or nothing`,
      });
      assert.equal((await Deno.lstat(path)).ino, before.ino);
    }));
}

Deno.test("claimAddresses() leaves a link to a dead socket alone, and the socket too", () =>
  withFolder(async (folder) => {
    await leaveSocket(`${folder}/dead.sock`);
    await Deno.symlink("dead.sock", `${folder}/control.sock`);
    await assert.rejects(claim(`${folder}/control.sock`), { message: /: a symbolic link is there: expected a socket/ });
    assert.equal((await Deno.lstat(`${folder}/control.sock`)).isSymlink, true);
    assert.equal((await Deno.lstat(`${folder}/dead.sock`)).isSocket, true);
  }));

Deno.test("claimAddresses() takes the place of a socket on which nobody listens, and a place that is free", () =>
  withFolder(async (folder) => {
    const path = `${folder}/deeper/control.sock`;
    await claim(path);
    await leaveSocket(path);
    assert.equal((await Deno.lstat(path)).isSocket, true);
    await claim(path);
    await assert.rejects(Deno.lstat(path), Deno.errors.NotFound);
  }));

Deno.test("claimAddresses() leaves a socket that somebody listens on alone, also one whose backlog is full", () =>
  withFolder(async (folder) => {
    const path = `${folder}/control.sock`;
    using _listener = Deno.listen({ transport: "unix", path }); // which never accepts
    const { ino } = await Deno.lstat(path);
    await assert.rejects(claim(path), {
      name: "SteerError",
      message: `Another program listens on "${path}", and does not answer as xdpsteer does`,
    });
    using waiting = new DisposableStack();
    for (let full = false; !full;) {
      await Deno.connect({ transport: "unix", path }).then((one) => waiting.use(one), (error) => {
        assert.ok(error instanceof Deno.errors.WouldBlock, error);
        full = true;
      });
    }
    await assert.rejects(claim(path), {
      name: "SteerError",
      message: `Another program may use the control socket "${path}": its listener is too busy to answer`,
    });
    assert.equal((await Deno.lstat(path)).ino, ino);
  }));

Deno.test("claimAddresses() calls another xdpsteer what answers as one", () =>
  withFolder(async (folder) => {
    const path = `${folder}/control.sock`;
    for (
      const [status, body, says] of [
        [200, "ok\n", "Another xdpsteer"],
        [503, "A worker does not run\n", "Another xdpsteer"],
        [200, "hello", "Another program"],
      ] as const
    ) {
      // One that has problems is alive all the same.
      await using _server = Deno.serve({ path, onListen: () => {} }, ({ url }) =>
        url.endsWith("/livez")
          ? new Response(body, { status })
          : new Response("Interface eth0 is gone\n", { status: 503 }));
      await assert.rejects(claim(path), (error: Error) =>
        error.message.startsWith(says));
    }
  }));

const DATAGRAM_SOCKET = `
import socket, sys
one = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
one.bind(sys.argv[1])
print("ready", flush=True)
sys.stdin.read()
`;

Deno.test("claimAddresses() leaves another program's socket of another type alone", () =>
  withFolder(async (folder) => {
    const path = `${folder}/control.sock`;
    const args = ["-c", DATAGRAM_SOCKET, path];
    await using owner = new Deno.Command("/usr/bin/python3", { args, stdin: "piped", stdout: "piped" }).spawn();
    const reader = owner.stdout.getReader();
    await reader.read();
    const { ino } = await Deno.lstat(path);
    await assert.rejects(claim(path), {
      name: "SteerError",
      message: /^Another program may use the control socket ".*": /,
    });
    assert.equal((await Deno.lstat(path)).ino, ino);
    await reader.cancel();
    await owner.stdin.close();
    await owner.status;
  }));

Deno.test("claimAddresses() gives the right to a socket to one at a time, whether it listens already or not", () =>
  withFolder(async (folder) => {
    const path = `${folder}/control.sock`;
    {
      await leaveSocket(path);
      using _mine = await right(path);
      await assert.rejects(claim(path), {
        message: `Another xdpsteer has the control socket "${path}", and does not listen on it yet, or any more`,
      });
      await claim(`${folder}/other.sock`);
      const listener = Deno.listen({ transport: "unix", path });
      await assert.rejects(claim(path), {
        message: `Another program listens on "${path}", and does not answer as xdpsteer does`,
      });
      listener.close();
    }
    await claim(path);
    assert.deepEqual([...Deno.readDirSync(folder)], [], "nothing is left behind");
  }));

Deno.test("claimAddresses() of many at once gives the right to one of them", () =>
  withFolder(async (folder) => {
    const path = `${folder}/control.sock`;
    await leaveSocket(path);
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => right(path)));
    const won = results.filter((result) => result.status === "fulfilled");
    assert.equal(won.length, 1);
    won[0]!.value[Symbol.dispose]();
  }));

Deno.test("claimAddresses() takes over the lock of a process that was killed, and follows no link in its place", () =>
  withFolder(async (folder) => {
    const path = `${folder}/control.sock`;
    await Deno.writeTextFile(`${path}.lock`, "");
    await claim(path);
    await Deno.writeTextFile(`${folder}/precious`, "precious");
    await Deno.symlink("precious", `${path}.lock`);
    await assert.rejects(claim(path), {
      message:
        `Cannot open the control socket "${path}": its lock "${path}.lock" is a symbolic link, which is not followed`,
      hint: `see where it leads and who made it (ls -l ${path}.lock), then remove it`,
    });
    assert.equal(await Deno.readTextFile(`${folder}/precious`), "precious");
  }));

Deno.test("a socket on a disk that is full, or read-only, is told with what to do about that", () => {
  const hintOf = (message: string): string => cannotOpen("/x/control.sock", message).hint!;
  assert.match(hintOf("No space left on device (os error 28)"), /^make room in the file system of \/x: /);
  assert.match(hintOf("its lock cannot be taken: open failed with EROFS"), /^\/x is read-only: set control.socket/);
  assert.match(hintOf("Permission denied (os error 13)"), /^set control.socket to a path in a directory/);
});
