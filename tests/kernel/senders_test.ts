import assert from "node:assert/strict";
import { SenderSets } from "../../src/bpf/sender_sets.ts";
import { testRun } from "../../src/ffi/libbpf.ts";
import { compareSenders, type SenderRate, type SenderReading } from "../../src/steering/senders.ts";
import { buildFrame } from "../../src/traffic/frames.ts";
import { OWN_MAC, portMap, VerdictRig } from "./verdict_rig.ts";

const MAC = "02:00:00:00:00:01";
const [GAME, CHAT] = [7777, 8888];
const PAYLOAD = new Uint8Array(58);

/** A frame from an address, 100 bytes over IPv4 and 120 over IPv6. */
function from(address: string, port = GAME): Uint8Array<ArrayBuffer> {
  return buildFrame({
    source: { mac: MAC, address, port: 40_000 },
    destination: { mac: OWN_MAC, address: address.includes(":") ? "2001:db8::2" : "192.0.2.2", port },
    payload: PAYLOAD,
  }).bytes;
}

async function rigWithRules(): Promise<VerdictRig> {
  const rig = await VerdictRig.load();
  await rig.put(portMap({ [GAME]: { action: "drop", rule: 3 }, [CHAT]: { action: "drop", rule: 4 } }), 1);
  return rig;
}

const send = (rig: VerdictRig, frame: Uint8Array<ArrayBuffer>, repeat: number): void =>
  void testRun(rig.program.fd, { data: frame, repeat });
const counted = (reading: SenderReading): readonly SenderRate[] => compareSenders([], reading).senders;

Deno.test("senders are counted by address and rule, IPv6 ones by /64, while somebody asks", async () => {
  await using rig = await rigWithRules();
  send(rig, from("198.51.100.1"), 5); // before
  using sets = new SenderSets(rig.program);
  assert.deepEqual(counted(sets.read()), []);
  send(rig, from("198.51.100.1"), 30);
  send(rig, from("198.51.100.2"), 20);
  send(rig, from("198.51.100.1", CHAT), 3);
  send(rig, from("2001:db8:1:2::7"), 6);
  send(rig, from("2001:db8:1:2:ffff::8"), 4);
  send(rig, from("198.51.100.1", 9), 50); // no rule
  assert.deepEqual(counted(sets.read()), [
    { source: "198.51.100.1", rule: 3, packets: 30, bytes: 3000 },
    { source: "198.51.100.2", rule: 3, packets: 20, bytes: 2000 },
    { source: "2001:db8:1:2::/64", rule: 3, packets: 10, bytes: 1200 },
    { source: "198.51.100.1", rule: 4, packets: 3, bytes: 300 },
  ]);
});

Deno.test("nothing is counted when nobody asks any more, and a later question begins from zero", async () => {
  await using rig = await rigWithRules();
  for (const packets of [5, 7]) {
    using sets = new SenderSets(rig.program);
    send(rig, from("198.51.100.1"), packets);
    assert.deepEqual(counted(sets.read()).map((sender) => sender.packets), [packets]);
  }
  send(rig, from("198.51.100.1"), 100);
  using sets = new SenderSets(rig.program);
  assert.deepEqual(counted(sets.read()), []);
});

Deno.test("few that send much are found among many that send little, and never with too many packets", async () => {
  await using rig = await rigWithRules();
  using sets = new SenderSets(rig.program);
  const heavy = Array.from({ length: 20 }, (_, index) => `203.0.113.${index + 1}`);
  const [RARE, MUCH] = [12_000, 120];
  for (let index = 0; index < RARE; index++) {
    send(rig, from(`10.${index >> 16 & 255}.${index >> 8 & 255}.${index & 255}`), 1);
    if (index % 1000 === 999) { for (const address of heavy) send(rig, from(address), MUCH / 12); }
  }
  const reading = sets.read();
  const { packets, senders } = compareSenders([], reading);
  assert.equal(packets, RARE + heavy.length * MUCH, "the packets of all places are all packets");
  assert.deepEqual(new Set(senders.slice(0, heavy.length).map(({ source }) => source)), new Set(heavy));
  for (const [place, group] of reading.entries()) {
    const all = group.reduce((sum, sender) => sum + sender.packets, 0);
    for (const { inherited } of group) assert.ok(inherited <= all / 8, `the bound of set ${place}`);
  }
  for (const { source, packets } of senders) {
    const sent = heavy.includes(source) ? MUCH : 1;
    assert.ok(packets <= sent, `${source} has sent ${sent}, not ${packets}`);
  }
});
