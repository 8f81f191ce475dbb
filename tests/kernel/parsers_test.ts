import assert from "node:assert/strict";
import { VERDICT } from "../../src/bpf/layout.gen.ts";
import { testRun } from "../../src/ffi/libbpf.ts";
import { readUdp, UdpPacket } from "../../src/packet/udp.ts";
import { PORT_ACTION, type PortMap } from "../../src/steering/port_map.ts";
import { mutatedFrames, SEEDS } from "../support/mutated_frames.ts";
import { SIZE } from "../support/sizes.ts";
import { VerdictRig } from "./verdict_rig.ts";

/** Rule slots that ports are given in turn. */
const SLOTS = 8192;
/** Of so many frames, the slot of one is looked at: it takes two system calls a CPU. */
const EXACT_EVERY = 64;

/** What the program does with a port: half of all are redirected, the others dropped. */
function isRedirected(port: number): boolean {
  return (Math.imul(port, 0x9e3779b1) >>> 16 & 1) === 1;
}

/** All ports are listed, so a whole UDP packet is not passed. */
const ALL_PORTS: PortMap = Array.from({ length: 65_536 }, (_, port) => ({
  first: port,
  last: port,
  addresses: "any",
  action: isRedirected(port) ? PORT_ACTION.redirect : PORT_ACTION.drop,
  errors: false,
  dropsFragments: false,
  rule: port % SLOTS,
  worker: 0,
}));

for (const seed of SEEDS) {
  Deno.test(`the XDP program and the workers take the same mutated frames for whole UDP packets to the same ports; seed ${seed}`, async () => {
    await using rig = await VerdictRig.load();
    await rig.put(ALL_PORTS, 1);
    const packet = new UdpPacket();
    const sources = mutatedFrames(seed);
    const countOf = (slot: number): number => {
      const counters = rig.program.readRuleCounters(slot);
      return counters.reduce((sum, count) => sum + count, 0);
    };
    let whole = 0;
    const wanted = SIZE.mutatedFrames / SEEDS.length;
    for (let index = 0; index < wanted; index++) {
      const source = sources[index % sources.length]!;
      source.next();
      const data = source.bytes.subarray(0, source.length);
      const isWhole = readUdp(new DataView(data.buffer), 0, data.length, packet);
      const { destinationPort: port } = packet;
      const isExact = isWhole && index % EXACT_EVERY === 0;
      const before = isExact ? countOf(port % SLOTS) : 0;
      const verdict = testRun(rig.program.fd, { data, repeat: 1 });
      const expected = !isWhole ? VERDICT.PASS : isRedirected(port) ? VERDICT.REDIRECT : VERDICT.DROP;
      if (verdict !== expected || (isExact && countOf(port % SLOTS) === before)) {
        const hex = data.toHex();
        assert.fail(
          `frame ${index}: verdict ${verdict}, and not ${expected} for port ${isWhole ? port : "none"}: ${hex}`,
        );
      }
      if (isWhole) whole++;
    }
    assert.ok(whole > wanted / 10 && whole < wanted, `${whole} of ${wanted} are whole`);
  });
}
