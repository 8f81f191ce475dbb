import assert from "node:assert/strict";
import { AnswerProgram } from "../../src/bpf/answer_program.ts";
import { ANSWERED_PACKETS, RULE_COUNTER_FIELDS, RULE_PACKETS } from "../../src/bpf/rule_counters.ts";
import { testRun } from "../../src/ffi/libbpf.ts";
import { parseAddress } from "../../src/packet/address.ts";
import {
  addWords,
  buildFrame,
  ETHERTYPE,
  type Frame,
  type FrameOptions,
  type Ipv6Extension,
  pseudoHeaderSum,
  withPartialChecksum,
} from "../../src/traffic/frames.ts";
import { buildIcmpError, ICMP_ERROR, ipPacketOf } from "../../src/traffic/icmp_frames.ts";
import { OWN_MAC, portMap, VerdictRig } from "./verdict_rig.ts";

const LISTED = 53;
const OTHER_LISTED = 54;
const PROGRAM = 5353;
const RULE = 5;
const CLIENT_MAC = "02:00:00:00:00:01";
const CLIENT = { IPv4: "192.0.2.1", IPv6: "2001:db8::1" } as const;
const BOX = { IPv4: "192.0.2.2", IPv6: "2001:db8::2" } as const;
const BOTH = ["IPv4", "IPv6"] as const;
type Family = typeof BOTH[number];
type Variation = Partial<FrameOptions>;

const PAYLOAD = new TextEncoder().encode("a question of some length");
const question = (family: Family, port: number, more: Variation = {}, clientPort = 40_000): FrameOptions => ({
  source: { mac: CLIENT_MAC, address: CLIENT[family], port: clientPort },
  destination: { mac: OWN_MAC, address: BOX[family], port },
  payload: PAYLOAD,
  ...more,
});
const answer = (family: Family, port: number, more: Variation = {}, clientPort = 40_000): FrameOptions => ({
  source: { mac: OWN_MAC, address: BOX[family], port },
  destination: { mac: CLIENT_MAC, address: CLIENT[family], port: clientPort },
  payload: PAYLOAD,
  ...more,
});

class Rig implements AsyncDisposable {
  private constructor(readonly verdicts: VerdictRig, readonly answers: AnswerProgram) {}

  static async load(): Promise<Rig> {
    const verdicts = await VerdictRig.load();
    const answers = await AnswerProgram.load(verdicts.program);
    answers.addPorts([PROGRAM]);
    const rig = new Rig(verdicts, answers);
    await rig.deliverTo(PROGRAM, 1);
    return rig;
  }

  async deliverTo(deliverTo: number, generation: number): Promise<void> {
    const rule = { action: "deliver", rule: RULE, deliverTo } as const;
    await this.verdicts.put(portMap({ [LISTED]: rule, [OTHER_LISTED]: rule }), generation);
  }

  /** What the XDP program makes of a frame. */
  in(frame: Uint8Array<ArrayBuffer>): Uint8Array {
    const out = new Uint8Array(frame.length);
    assert.equal(testRun(this.verdicts.program.fd, { data: frame, repeat: 1, out }), 2, "passed");
    return out;
  }

  /** What the tc program makes of a frame. */
  out(frame: Uint8Array<ArrayBuffer>): Uint8Array {
    const out = new Uint8Array(frame.length);
    assert.equal(testRun(this.answers.fd, { data: frame, repeat: 1, out }) | 0, -1, "goes on to whatever is attached");
    return out;
  }

  counted(what: "delivered" | "answered"): number[] {
    const counters = this.verdicts.program.readRuleCounters(RULE);
    assert.equal(counters.length, RULE_COUNTER_FIELDS.length);
    const at = what === "answered" ? ANSWERED_PACKETS : RULE_PACKETS.delivered;
    return [counters[at]!, counters[at + 1]!];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.answers[Symbol.dispose]();
    await this.verdicts[Symbol.asyncDispose]();
  }
}

const EXTENSION: Ipv6Extension = { kind: "destination" };
const VARIATIONS: Readonly<Record<string, { readonly only?: Family; readonly more: Variation }>> = {
  plain: { more: {} },
  "padded to Ethernet's least": { more: { payload: new Uint8Array(3), padTo: 60 } },
  "without payload": { more: { payload: new Uint8Array() } },
  "of odd length": { more: { payload: new Uint8Array(777).fill(0xab) } },
  "as long as an MTU": { more: { payload: new Uint8Array(1452).fill(0xcd) } },
  "in a VLAN": { more: { vlans: [{ id: 7 }] } },
  "in two VLANs": { more: { vlans: [{ id: 7, type: ETHERTYPE.qinq }, { id: 8 }] } },
  "without a checksum": { only: "IPv4", more: { checksum: false } },
  "with IPv4 options": { only: "IPv4", more: { ipv4Options: new Uint8Array(8).fill(1) } },
  "a first fragment": { only: "IPv4", more: { ipv4Fragment: { offset: 0, more: true } } },
  "with an IPv6 extension": { only: "IPv6", more: { ipv6Extensions: [EXTENSION] } },
  "a first fragment of IPv6": {
    only: "IPv6",
    more: { ipv6Extensions: [{ kind: "fragment", fragment: { offset: 0, more: true } }] },
  },
};

const cases = Object.entries(VARIATIONS).flatMap(([name, { only, more }]) =>
  BOTH.filter((family) => only === undefined || only === family).map((family) => ({ name, family, more }))
);

Deno.test("a delivered packet is the one that its client would have sent to the program's port, and its answer the one from the listed port", async (t) => {
  await using rig = await Rig.load();
  for (const { name, family, more } of cases) {
    await t.step(`${family}, ${name}`, () => {
      const sent = buildFrame(question(family, LISTED, more)).bytes;
      const before = rig.counted("delivered")[0]!;
      assert.deepEqual(rig.in(sent), buildFrame(question(family, PROGRAM, more)).bytes);
      assert.equal(rig.counted("delivered")[0], before + 1);
      const answered = rig.counted("answered")[0]!;
      const left = buildFrame(answer(family, PROGRAM, more)).bytes;
      assert.deepEqual(rig.out(left), buildFrame(answer(family, LISTED, more)).bytes);
      assert.equal(rig.counted("answered")[0], answered + 1);
    });
  }
});

Deno.test("a checksum that the sender left unfinished stays so, and one that only looks so is fixed", async () => {
  await using rig = await Rig.load();
  for (const family of BOTH) {
    for (const bytes of [0, 1, 2, 3, 511, 512, 513, 1400]) {
      const payload = crypto.getRandomValues(new Uint8Array(bytes));
      const [sent, wanted] = [LISTED, PROGRAM].map((port) => {
        const options = question(family, port, { payload });
        return withPartialChecksum(buildFrame(options), options) as Uint8Array<ArrayBuffer>;
      });
      assert.deepEqual(rig.in(sent!), wanted, `${family}, ${bytes} bytes, unfinished`);
      if (bytes < 2) continue;
      // The first word is such that the finished checksum is what an unfinished one would be.
      const lookalike = lookingUnfinished(family, payload);
      const finished = buildFrame(question(family, LISTED, { payload: lookalike }));
      const options = question(family, LISTED, { payload: lookalike });
      assert.deepEqual(finished.bytes, withPartialChecksum(finished, options), "the test's own arithmetic");
      const fixed = buildFrame(question(family, PROGRAM, { payload: lookalike })).bytes;
      assert.deepEqual(rig.in(finished.bytes), fixed, `${family}, ${bytes} bytes, finished`);
    }
  }
});

/** The payload with another first word. */
function lookingUnfinished(family: Family, payload: Uint8Array): Uint8Array {
  const [source, destination] = [CLIENT[family], BOX[family]].map(parseAddress);
  const pseudo = pseudoHeaderSum(source!, destination!, 8 + payload.length);
  const rest = payload.slice();
  rest.fill(0, 0, 2);
  // checksum = ~(pseudo + header + word + rest) is to be pseudo, folded.
  const header = 40_000 + LISTED + 8 + payload.length;
  const sum = 2 * pseudo + header + addWords(rest);
  const word = 0xffff - sum % 0xffff;
  new DataView(rest.buffer).setUint16(0, word % 0xffff);
  return rest;
}

Deno.test("answers get the port that their own client has sent to, of several that are delivered to one program", async () => {
  await using rig = await Rig.load();
  for (const family of BOTH) {
    rig.in(buildFrame(question(family, LISTED, {}, 1111)).bytes);
    rig.in(buildFrame(question(family, OTHER_LISTED, {}, 2222)).bytes);
    const from = (port: number, clientPort: number): Uint8Array<ArrayBuffer> =>
      buildFrame(answer(family, port, {}, clientPort)).bytes;
    assert.deepEqual(rig.out(from(PROGRAM, 1111)), from(LISTED, 1111));
    assert.deepEqual(rig.out(from(PROGRAM, 2222)), from(OTHER_LISTED, 2222));
    rig.in(buildFrame(question(family, OTHER_LISTED, {}, 1111)).bytes);
    assert.deepEqual(rig.out(from(PROGRAM, 1111)), from(OTHER_LISTED, 1111), "the port that it has sent to last");
  }
});

Deno.test("what is no answer leaves as it is", async () => {
  await using rig = await Rig.load();
  for (const family of BOTH) {
    rig.in(buildFrame(question(family, LISTED)).bytes);
    const [counted] = rig.counted("answered");
    const others: Frame[] = [
      buildFrame(answer(family, PROGRAM, {}, 40_001)), // to a port that has asked nothing
      buildFrame(answer(family, PROGRAM + 1)),
      buildFrame(answer(family, LISTED)),
      buildFrame({ ...answer(family, PROGRAM), protocol: 6 }),
      buildFrame({ ...answer(family, PROGRAM), payload: new Uint8Array(), protocol: 17, ...later(family) }),
    ];
    for (const { bytes } of others) assert.deepEqual(rig.out(bytes), bytes);
    assert.equal(rig.counted("answered")[0], counted);
  }
});

/** A fragment that is not the first. */
function later(family: Family): Variation {
  const fragment = { offset: 800, more: true };
  return family === "IPv4" ? { ipv4Fragment: fragment } : { ipv6Extensions: [{ kind: "fragment", fragment }] };
}

Deno.test("after a change of the program's port, answers of both programs get the listed port", async () => {
  await using rig = await Rig.load();
  rig.answers.addPorts([5454]);
  rig.in(buildFrame(question("IPv4", LISTED)).bytes);
  await rig.deliverTo(5454, 2);
  assert.deepEqual(rig.in(buildFrame(question("IPv4", LISTED)).bytes), buildFrame(question("IPv4", 5454)).bytes);
  for (const port of [PROGRAM, 5454]) {
    assert.deepEqual(rig.out(buildFrame(answer("IPv4", port)).bytes), buildFrame(answer("IPv4", LISTED)).bytes);
  }
});

Deno.test("ICMP errors quote the port that their receiver knows, both ways", async (t) => {
  await using rig = await Rig.load();
  for (const family of BOTH) {
    const [type, code] = ICMP_ERROR.portUnreachable[family];
    const ends = (from: FrameOptions, to: FrameOptions): Pick<FrameOptions, "source" | "destination"> => ({
      source: { mac: from.destination.mac, address: from.destination.address },
      destination: { mac: to.source.mac, address: to.source.address },
    });
    const error = (about: FrameOptions, checksum: boolean, stale?: Frame): Uint8Array<ArrayBuffer> => {
      const frame = buildFrame({ ...about, checksum });
      const quoted = ipPacketOf(frame);
      // The quoted checksum stays that of the packet as it was.
      if (stale !== undefined) {
        quoted.set(
          stale.bytes.subarray(stale.transportAt + 6, stale.transportAt + 8),
          26 + (family === "IPv6" ? 20 : 0),
        );
      }
      return buildIcmpError({ ...ends(about, about), quoted, type, code }).bytes;
    };
    await t.step(`${family}: nobody listens on the program's port`, () => {
      rig.in(buildFrame(question(family, LISTED)).bytes);
      const quoted = buildFrame(question(family, PROGRAM));
      const sent = error(question(family, PROGRAM), true);
      assert.deepEqual(rig.out(sent), error(question(family, LISTED), true, quoted));
    });
    await t.step(`${family}: about an answer`, () => {
      const arrived = error(answer(family, LISTED), true);
      const quoted = buildFrame(answer(family, LISTED));
      assert.deepEqual(rig.in(arrived), error(answer(family, PROGRAM), true, quoted));
    });
    await t.step(`${family}: about something else`, () => {
      for (const about of [question(family, PROGRAM, {}, 40_001), question(family, 99)]) {
        assert.deepEqual(rig.out(error(about, true)), error(about, true));
      }
      assert.deepEqual(rig.in(error(answer(family, 99), true)), error(answer(family, 99), true));
    });
  }
});
