/** What lists of sources cost a packet, beside a look-up in a BPF hash map of as many entries. */
import process from "node:process";
import { PortTable } from "../../src/bpf/port_table.ts";
import { SteeringProgram } from "../../src/bpf/program.ts";
import { writeSources } from "../../src/bpf/source_maps.ts";
import { testRun } from "../../src/ffi/libbpf.ts";
import { parseAddress, parseMac } from "../../src/packet/address.ts";
import { compilePortMap } from "../../src/steering/compile.ts";
import { PrefixSet, readPrefixLines } from "../../src/steering/prefix_set.ts";
import type { Rule } from "../../src/steering/rule.ts";
import { ipv4Intervals, ipv6Intervals } from "../../src/steering/source_intervals.ts";
import { buildFrame } from "../../src/traffic/frames.ts";
import type { Effort, Report, Result } from "./results.ts";
import { PORT } from "./rig.ts";
import { VariedSource } from "./varied_source.ts";

const MAC = "02:00:00:00:00:02";
/** By which numbers become addresses all over the space. */
const SPREAD = 2_654_435_761;
const PACKETS = 1_000_000;

const FAMILIES = {
  IPv4: { count: 1_000_000, stride: 381_957, to: "10.0.0.2", from: "10.1.0.1" },
  IPv6: { count: 100_000, stride: 38_197, to: "2001:db8::2", from: "2001:db8::1" },
} as const;
type Family = keyof typeof FAMILIES;

/** The number of a source's address. */
function spread(number: number): number {
  return Math.imul(number, SPREAD) >>> 0;
}

function addressOf(family: Family, number: number): Uint8Array<ArrayBuffer> {
  const hash = spread(number);
  const bytes = new Uint8Array(family === "IPv4" ? 4 : 16);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, family === "IPv4" ? 0x80000000 | hash >>> 2 : 0x20000000 | hash >>> 3);
  if (family === "IPv6") view.setUint32(4, hash << 29);
  return bytes;
}

/** The file of a list, as somebody would give it: IPv4 addresses, IPv6 prefixes of /48. */
function textOf(family: Family, count: number): string {
  return Array.from({ length: count }, (_, number) => {
    const bytes = addressOf(family, number);
    if (family === "IPv4") return bytes.join(".");
    const view = new DataView(bytes.buffer);
    return `${[0, 2, 4].map((at) => view.getUint16(at).toString(16)).join(":")}::/48`;
  }).join("\n");
}

/** CPU time of this process, milliseconds: what others do on the machine is not in it. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

export async function listCost(effort: Effort, report: Report): Promise<Result[]> {
  const results: Result[] = [];
  for (const family of ["IPv4", "IPv6"] as const) results.push(...await costOf(family, effort, report));
  return results;
}

async function costOf(family: Family, { rounds }: Effort, report: Report): Promise<Result[]> {
  const { count, stride, from, to } = FAMILIES[family];
  const frame = buildFrame({
    source: { mac: "02:00:00:00:00:01", address: from, port: 4000 },
    destination: { mac: MAC, address: to, port: PORT },
    payload: new Uint8Array(22),
  }).bytes;
  using program = await SteeringProgram.load({ workerCount: 1, queueLimit: 1 });
  program.setDevice({ isLoopback: false, macs: [parseMac(MAC)] });
  await using table = new PortTable(program, () => ({ own: [parseAddress(to)], broadcasts: [] }));
  const bytes = new TextEncoder().encode(textOf(family, count));
  const loads: number[] = [];
  for (let round = 0; round < 3; round++) {
    const start = cpuMs();
    const set = new PrefixSet();
    readPrefixLines(bytes, set, (line) => {
      throw new Error(`line ${line} cannot be read`);
    });
    const policies = [{ allow: [], deny: [set], closed: false }];
    writeSources(program.sourceMaps, 0, { ipv4: ipv4Intervals(policies), ipv6: ipv6Intervals(policies) });
    loads.push(cpuMs() - start);
  }
  const sources = { count, stride, spread: SPREAD, isIpv6: family === "IPv6" };
  using plain = await VariedSource.load(program.fd, sources);
  using looking = await VariedSource.load(program.fd, sources, (number) => addressOf(family, number));
  const none = "no guard";
  const subjects = {
    [none]: { policies: 0n, varied: plain },
    "no guard, and a look-up in a BPF hash map": { policies: 0n, varied: looking },
    "a list": { policies: 1n, varied: plain },
  };
  const rule: Rule = {
    ...{ name: "r", ports: [{ first: PORT, last: PORT }], worker: 0, action: { kind: "drop" } },
    ...{ addresses: "own", fragments: "drop" },
  };
  const values: Record<string, number[]> = Object.fromEntries(Object.keys(subjects).map((subject) => [subject, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const [subject, { policies, varied }] of Object.entries(subjects)) {
      (await table.prepare(compilePortMap([rule], [1], () => policies), round + 1)).flip();
      testRun(varied.program, { data: frame, repeat: PACKETS / 10 });
      const start = cpuMs();
      testRun(varied.program, { data: frame, repeat: PACKETS });
      // The CPU may have come from a rest before the first.
      if (round > 0) values[subject]!.push((cpuMs() - start) * 1e6 / PACKETS);
    }
    report(`list cost, ${family}, round ${round} of ${rounds}`);
  }
  const many = `${count.toLocaleString("en")} ${family} prefixes`;
  return [
    ...Object.entries(values).map(([subject, times]): Result => ({
      workload: `XDP program alone, drop, ${many}, each a source, CPU time`,
      subject,
      unit: "ns",
      better: "lower",
      values: times,
      ...(subject === none ? {} : { baselines: [none] }),
    })),
    {
      workload: `Reading ${many} from text into the kernel, CPU time`,
      subject: "a list",
      unit: "ms",
      better: "lower",
      values: loads,
    },
  ];
}
