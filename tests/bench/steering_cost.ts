/** What steering costs. */
import { PortTable } from "../../src/bpf/port_table.ts";
import { SteeringProgram } from "../../src/bpf/program.ts";
import { testRun } from "../../src/ffi/libbpf.ts";
import { compilePortMap } from "../../src/steering/compile.ts";
import { parseAddress, parseMac } from "../../src/packet/address.ts";
import type { PortRange, Rule } from "../../src/steering/rule.ts";
import { buildFrame } from "../../src/traffic/frames.ts";
import { Arena, type Lane, type Start } from "./contest.ts";
import type { Effort, Report, Result } from "./results.ts";
import { PORT } from "./rig.ts";
import { type Listed, startBaseline } from "./subjects.ts";

const MAC = "02:00:00:00:00:02";
/** Eight ports, spread over the table. */
const PORTS = [7000, 7001, 7123, 7200, 7456, 7600, PORT, 7999];

/**
 * What the port table costs, seen from the sender, whose CPU runs the XDP program: nanoseconds per packet in all. The
 * same C program receives behind all of them.
 */
export async function steeringCost(effort: Effort, report: Report): Promise<Result[]> {
  const tables: Readonly<Record<string, Listed>> = {
    "xdpsteer's program, 1 rule": { first: 7000, last: 7999, rules: 1 },
    "xdpsteer's program, 1,000 rules": { first: 7000, last: 7999, rules: 1000 },
    "xdpsteer's program, all ports": { first: 1, last: 65535, rules: 1000 },
  };
  const bare = "redirect only";
  const starts: Record<string, Start> = { [bare]: (network) => startBaseline(network, "drop", "busy") };
  for (const [name, listed] of Object.entries(tables)) {
    starts[name] = (network) => startBaseline(network, "drop", "busy", listed);
  }
  await using arena = await Arena.open(Object.keys(starts).length, true);
  const measure = async ({ sender }: Lane): Promise<number> => {
    const { sent, elapsedMs } = await sender.send({ durationMs: effort.sendMs, ports: PORTS });
    return elapsedMs * 1e6 / sent;
  };
  const manySlices = { ...effort, slices: 2 * effort.slices }; // the smallest difference of all
  const values = await arena.contest(starts, manySlices, measure, (line) => report(`steering cost, ${line}`));
  const results = Object.entries(values).map(([subject, times]): Result => ({
    workload: "kernel side per packet: sending, XDP, delivery",
    subject,
    unit: "ns",
    better: "lower",
    values: times,
    ...(subject === bare ? {} : { baselines: [bare] }),
  }));
  return [...results, ...await programCost(effort.rounds)];
}

/** The XDP program alone, by BPF_PROG_TEST_RUN, for tables and addresses in turn. */
async function programCost(rounds: number): Promise<Result[]> {
  const frame = buildFrame({
    source: { mac: "02:00:00:00:00:01", address: "10.0.0.1", port: 4000 },
    destination: { mac: MAC, address: "10.0.0.2", port: PORT },
    payload: new Uint8Array(22),
  }).bytes;
  using program = await SteeringProgram.load({ workerCount: 1, queueLimit: 1 });
  program.setDevice({ isLoopback: false, macs: [parseMac(MAC)] });
  // Own addresses are looked at in this order.
  const others = [1, 2, 3, 4].map((host) => parseAddress(`10.0.1.${host}`));
  let own = others;
  await using table = new PortTable(program, () => ({ own, broadcasts: [] }));
  const one = { first: PORT, last: PORT };
  const destination = parseAddress("10.0.0.2");
  const fourth = [...others.slice(0, 3), destination];
  const listed: Readonly<
    Record<string, Pick<Rule, "addresses"> & { ports: PortRange; own: Uint8Array<ArrayBuffer>[] }>
  > = {
    "one port": { ports: one, addresses: "any", own: [] },
    "all ports": { ports: { first: 1, last: 65535 }, addresses: "any", own: [] },
    "one port, last of 4 own addresses": { ports: one, addresses: "own", own: fourth },
    "one port, last of 5 own addresses": { ports: one, addresses: "own", own: [...others, destination] },
    "one port, a listed prefix": { ports: one, addresses: ["10.0.0.0/24"], own: others },
  };
  const values: Record<string, number[]> = Object.fromEntries(Object.keys(listed).map((subject) => [subject, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const [subject, { ports, addresses, own: ownNow }] of Object.entries(listed)) {
      own = ownNow;
      const rule: Rule = {
        name: "r",
        ports: [ports],
        worker: 0,
        action: { kind: "drop" },
        addresses,
        fragments: "drop",
      };
      (await table.prepare(compilePortMap([rule], [1]), round + 1)).flip();
      const repeat = 1_000_000;
      const start = performance.now();
      testRun(program.fd, { data: frame, repeat });
      const elapsedMs = performance.now() - start;
      // The CPU may have come from a rest before the first.
      if (round > 0) values[subject]!.push(elapsedMs * 1e6 / repeat);
    }
  }
  return Object.entries(values).map(([subject, times]): Result => ({
    workload: "XDP program alone, drop",
    subject,
    unit: "ns",
    better: "lower",
    values: times,
    ...(subject === "one port" ? {} : { baselines: ["one port"] }),
  }));
}
