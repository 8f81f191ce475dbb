/** What a guard costs a packet, beside a look-up in a BPF hash map of as many sources. */
import { BanTable } from "../../src/bpf/ban_table.ts";
import { PortTable } from "../../src/bpf/port_table.ts";
import { SteeringProgram } from "../../src/bpf/program.ts";
import { testRun } from "../../src/ffi/libbpf.ts";
import { parseAddress, parseMac } from "../../src/packet/address.ts";
import { compilePortMap } from "../../src/steering/compile.ts";
import type { Limit } from "../../src/steering/limit.ts";
import type { Rule } from "../../src/steering/rule.ts";
import type { RuleBans } from "../../src/steering/rule_guard.ts";
import { buildFrame } from "../../src/traffic/frames.ts";
import type { Effort, Report, Result } from "./results.ts";
import { PORT } from "./rig.ts";
import { VariedSource } from "./varied_source.ts";

const MAC = "02:00:00:00:00:02";
const SOURCES = { first: 0x0a010000, count: 100_000, stride: 38_197 } as const;
const PACKETS = 1_000_000;
const BANS = 10_000;

function addressOf(source: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, SOURCES.first + source);
  return bytes;
}

interface Guarded {
  readonly limit?: Limit;
  readonly bans?: RuleBans;
  readonly lookUp?: boolean;
}

export async function guardCost({ rounds }: Effort, report: Report): Promise<Result[]> {
  const frame = buildFrame({
    source: { mac: "02:00:00:00:00:01", address: "10.1.0.1", port: 4000 },
    destination: { mac: MAC, address: "10.0.0.2", port: PORT },
    payload: new Uint8Array(22),
  }).bytes;
  using program = await SteeringProgram.load({ workerCount: 1, queueLimit: 1 });
  program.setDevice({ isLoopback: false, macs: [parseMac(MAC)] });
  await using table = new PortTable(program, () => ({ own: [parseAddress("10.0.0.2")], broadcasts: [] }));
  const bans = new BanTable(program.banMaps);
  for (let ban = 0; ban < BANS; ban++) {
    bans.add({ scope: 0, prefix: { address: new Uint8Array([203, ban >> 8, ban & 255, 7]), bits: 32 } });
  }
  using plain = await VariedSource.load(program.fd, SOURCES);
  using looking = await VariedSource.load(program.fd, SOURCES, addressOf);
  const rates = { packets: 1, burst: 3600, bytes: null, burstBytes: null };
  const total = { packets: 100_000_000, burst: null, bytes: null, burstBytes: null };
  const limit: Limit = { perSource: rates, total: null, ipv4Prefix: 32, ipv6Prefix: 64, ban: null, mode: "enforce" };
  const none = "no guard";
  const subjects: Readonly<Record<string, Guarded>> = {
    [none]: {},
    "no guard, and a look-up in a BPF hash map": { lookUp: true },
    "limit of each source": { limit },
    "limit in total": { limit: { ...limit, perSource: null, total } },
    "10,000 bans, of others": { bans: { forAll: true, scope: 0 } },
  };
  const values: Record<string, number[]> = Object.fromEntries(Object.keys(subjects).map((subject) => [subject, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const [subject, guarded] of Object.entries(subjects)) {
      const rule: Rule = {
        ...{ name: "r", ports: [{ first: PORT, last: PORT }], worker: 0, action: { kind: "drop" } },
        ...{ addresses: "own", fragments: "drop", limit: guarded.limit },
      };
      const ports = compilePortMap([rule], [1], () => 0n, () => guarded.bans);
      (await table.prepare(ports, round + 1)).flip();
      const { program: varied } = guarded.lookUp === true ? looking : plain;
      testRun(varied, { data: frame, repeat: 2 * SOURCES.count });
      const start = performance.now();
      testRun(varied, { data: frame, repeat: PACKETS });
      // The CPU may have come from a rest before the first.
      if (round > 0) values[subject]!.push((performance.now() - start) * 1e6 / PACKETS);
    }
    report(`guard cost, round ${round} of ${rounds}`);
  }
  return Object.entries(values).map(([subject, times]): Result => ({
    workload: `XDP program alone, drop, ${SOURCES.count.toLocaleString("en")} sources in turn`,
    subject,
    unit: "ns",
    better: "lower",
    values: times,
    ...(subject === none ? {} : { baselines: [none] }),
  }));
}
