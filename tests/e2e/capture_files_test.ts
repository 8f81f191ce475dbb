import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { startAppliance } from "./support/appliance.ts";
import { readBlocks, readPackets, sequenceOf } from "./support/capture_files.ts";
import { captureOf, count, end, nameOf, PORT, send, WIRE, written } from "./support/captures.ts";
import { SmallDisk, TempDir } from "./support/command.ts";
import { configText } from "./support/config.ts";
import { PATIENCE_MS, sleep, until } from "./support/wait.ts";

Deno.test("whoever reads the file while it grows sees packets soon", async () => {
  await using directory = await TempDir.create();
  const file = `${directory.path}/live.pcapng`;
  await using network = await TestNetwork.create(WIRE);
  await using box = await startAppliance(network, {
    rules: [`{ name: game, ports: ${PORT}, capture: ${file} }`],
  });
  for (const packets of [1, 8]) {
    const before = (await readPackets(file)).length;
    await send(network, { packetsPerFlow: packets });
    await until("the packets in the file", async () => (await readPackets(file)).length === before + packets);
  }
  assert.equal((await readBlocks(file)).dropped, null, "it is not finished");
  assert.equal(captureOf(await box.status(), "game").written, 9);
});

Deno.test("files are finished before they are too large, so many are kept, and a restart overwrites none", async () => {
  await using directory = await TempDir.create();
  const file = `${directory.path}/game.pcapng`;
  const size = 128 * 1024;
  await using network = await TestNetwork.create(WIRE);
  const capture = `{ file: ${file}, rotate: { size: 128KiB, keep: 3 } }`;
  const rules = [`{ name: game, ports: ${PORT}, worker: 0, capture: ${capture} }`];
  {
    await using box = await startAppliance(network, { rules });
    await send(network, { packetsPerFlow: 1000, payloadBytes: 1000 });
    assert.equal((await written(box, "game", 1000)).dropped, 0);
    await end(box);
  }
  const names = async (): Promise<string[]> =>
    (await Array.fromAsync(Deno.readDir(directory.path))).map(({ name }) => name).sort();
  const four = ["game.1.pcapng", "game.2.pcapng", "game.3.pcapng", "game.pcapng"];
  assert.deepEqual(await names(), four);
  const files = [...[3, 2, 1].map((number) => nameOf(file, number)), file];
  const sequences: number[] = [];
  for (const each of files) {
    const bytes = (await Deno.stat(each)).size;
    assert.ok(bytes <= size, `${each} has ${bytes} bytes`);
    assert.ok(each === file || bytes > size - 1100, `${each} has ${bytes} bytes`);
    assert.equal((await readBlocks(each)).dropped, 0);
    sequences.push(...(await readPackets(each)).map(sequenceOf));
  }
  assert.ok(sequences.length > 300);
  assert.deepEqual(
    sequences,
    count(1000 - sequences.length, 1000),
    "the last packets, without a gap from file to file",
  );

  const before = await Deno.readFile(file);
  await using box = await startAppliance(network, { rules });
  assert.deepEqual(await names(), four);
  assert.deepEqual(await Deno.readFile(nameOf(file, 1)), before);
  assert.deepEqual(await readPackets(file), []);
  await end(box);
});

Deno.test("a file is finished at its age when it has packets", async () => {
  await using directory = await TempDir.create();
  const file = `${directory.path}/game.pcapng`;
  await using network = await TestNetwork.create(WIRE);
  const capture = `{ file: ${file}, rotate: { seconds: 1 } }`;
  await using box = await startAppliance(network, { rules: [`{ name: game, ports: ${PORT}, capture: ${capture} }`] });
  for (const number of [1, 2]) {
    await send(network, { packetsPerFlow: 10 });
    await until(`finished file ${number}`, () => Deno.stat(nameOf(file, number)).then(() => true, () => false));
  }
  await sleep(1500); // nothing comes, so nothing is finished
  await end(box);
  assert.deepEqual(
    await Promise.all([nameOf(file, 2), nameOf(file, 1), file].map((each) => readBlocks(each))),
    [{ packets: 10, dropped: 0 }, { packets: 10, dropped: 0 }, { packets: 0, dropped: 0 }],
  );
  await assert.rejects(Deno.stat(nameOf(file, 3)));
});

Deno.test("a file that cannot be written costs no packet: told once, and counted as dropped", async () => {
  await using directory = await TempDir.create();
  const file = `${directory.path}/missing/game.pcapng`;
  await using network = await TestNetwork.create(WIRE);
  await using box = await startAppliance(network, {
    rules: [`{ name: game, ports: ${PORT}, action: echo, capture: ${file} }`],
  });
  const { sent, replies } = await send(network, { flows: 5, replyTimeoutMs: PATIENCE_MS });
  assert.deepEqual([sent, replies], [500, 500]);
  const capture = await written(box, "game", sent);
  assert.deepEqual([capture.state, capture.written, capture.dropped], ["failed", 0, 500]);
  assert.match(capture.error!, /missing" does not exist.*its directory does not exist: make it/);
  const told = box.log.filter(({ logger }) => logger === "xdpsteer.capture");
  assert.equal(told.length, 1, JSON.stringify(told));
  assert.equal(told[0]!.level, "error");
  assert.match(told[0]!.message, /^Rule game is not captured any more, its packets go on: cannot write/);
  await end(box);
});

Deno.test("a full disk ends the capture, with a file that can be read, and not the traffic", async () => {
  await using disk = await SmallDisk.create();
  const file = `${disk.path}/game.pcapng`;
  await using network = await TestNetwork.create(WIRE);
  await using box = await startAppliance(network, {
    rules: [`{ name: game, ports: ${PORT}, action: echo, capture: ${file} }`],
  });
  const { sent, replies } = await send(network, {
    packetsPerFlow: 1000,
    payloadBytes: 1000,
    replyTimeoutMs: PATIENCE_MS,
  });
  assert.deepEqual([sent, replies], [1000, 1000]);
  const capture = await written(box, "game", sent);
  assert.equal(capture.state, "failed");
  assert.match(capture.error!, /the disk is full/);
  assert.ok(capture.dropped > 700);
  assert.deepEqual((await readPackets(file)).map(sequenceOf), count(0, capture.written));
  assert.equal((await readBlocks(file)).packets, capture.written);

  // There is room again: what the problem advises helps.
  await Deno.remove(file);
  const { code, body } = await box.request("POST", "/v1/reload");
  assert.equal(code, 200, body);
  assert.deepEqual(JSON.parse(body).changes, ["rule game: its capture is tried again"]);
  const again = captureOf(await box.status(), "game");
  assert.deepEqual([again.state, again.error], ["on", null]);
  await send(network, { packetsPerFlow: 10 });
  await written(box, "game", sent + 10);
  await end(box);
  assert.equal((await readPackets(file)).length, 10);
});

Deno.test("a limit on the size of files ends the capture, and not the process", async () => {
  await using directory = await TempDir.create();
  const file = `${directory.path}/game.pcapng`;
  await using network = await TestNetwork.create(WIRE);
  await using box = await startAppliance(network, {
    rules: [`{ name: game, ports: ${PORT}, action: echo, capture: ${file} }`],
  });
  await network.exec("steer", ["prlimit", "--pid", `${box.pid}`, "--fsize=200000"]);
  const { sent, replies } = await send(network, {
    packetsPerFlow: 1000,
    payloadBytes: 1000,
    replyTimeoutMs: PATIENCE_MS,
  });
  assert.deepEqual([sent, replies], [1000, 1000]);
  const capture = await written(box, "game", sent);
  assert.equal(capture.state, "failed");
  assert.match(capture.error!, /File too large.*LimitFSIZE=/);
  assert.deepEqual((await readPackets(file)).map(sequenceOf), count(0, capture.written));
  await end(box);
});

Deno.test("a capture removes and renames files of captures only, and not by a link out of capture.directory", async () => {
  await using directory = await TempDir.create();
  const [inside, outside] = [`${directory.path}/inside`, `${directory.path}/outside`];
  for (const path of [inside, outside]) await Deno.mkdir(path);
  await Deno.symlink(outside, `${inside}/link`);
  await Deno.writeTextFile(`${inside}/precious.pcapng`, "precious");
  await Deno.writeTextFile(`${outside}/precious.pcapng`, "precious");
  await using network = await TestNetwork.create(WIRE);
  const text = (capture: string) => (socket: string): string =>
    configText({ rules: [`{ name: game, ports: ${PORT}, action: echo${capture} }`] }, socket)
      .replace("directory: /", `directory: ${inside}`);
  await using box = await startAppliance(network, text(""));
  const captureIn = (file: string): string => `, capture: { file: ${file}, rotate: { keep: 0 } }`;
  const failures: Readonly<Record<string, RegExp>> = {
    [`${inside}/precious.pcapng`]: /^"precious.pcapng" is another program's file.*it is left alone/,
    [`${inside}/link/precious.pcapng`]: /inside\/link" is led elsewhere by a symbolic link.*no link may lead out/,
  };
  for (const [file, why] of Object.entries(failures)) {
    assert.equal((await box.put(text(captureIn(file))(box.socket))).code, 200);
    const status = await box.untilStatus(
      "a failed capture",
      ({ captures }) => captures[0]?.file === file && captures[0].error !== null,
    );
    assert.match(captureOf(status, "game").error!, why);
  }
  const refused = await box.put(text(captureIn(`${outside}/precious.pcapng`))(box.socket));
  assert.equal(refused.code, 422);
  assert.match(refused.body, /is outside of the directory for captures/);
  const elsewhere = text(captureIn(`${outside}/precious.pcapng`))(box.socket).replace(inside, outside);
  assert.match((await box.put(elsewhere)).body, /capture\.directory cannot be changed by a request/);
  for (const path of [inside, outside]) assert.equal(await Deno.readTextFile(`${path}/precious.pcapng`), "precious");
  assert.equal((await box.put(text(captureIn(`${inside}/game.pcapng`))(box.socket))).code, 200);
  await send(network, { packetsPerFlow: 10 });
  assert.equal((await written(box, "game", 10)).dropped, 0);
  await end(box);
  assert.equal((await readPackets(`${inside}/game.pcapng`)).length, 10);
});
