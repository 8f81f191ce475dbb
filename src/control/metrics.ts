/**
 * The snapshot as Prometheus metrics. Names and labels are a contract; see docs/architecture.md.
 *
 * @module
 */
import { Counter, Gauge, Registry } from "prom-client";
import type { Snapshot } from "./appliance.ts";
import type { ReloadCounts } from "./reload.ts";

/** Label value of packets whose fate was decided in the XDP program. */
const IN_KERNEL = "xdp";

/** The metrics of one scrape. A fresh registry each time: what is gone from the snapshot is gone from the scrape. */
export async function renderMetrics(
  snapshot: Snapshot,
  reloads: ReloadCounts,
  build: Readonly<Record<string, string>>,
): Promise<{ readonly contentType: string; readonly text: string }> {
  const registry = new Registry();
  const counter = (name: string, help: string, labelNames: readonly string[]): Counter<string> =>
    new Counter({ name: `xdpsteer_${name}`, help, labelNames: [...labelNames], registers: [registry] });
  const gauge = (name: string, help: string, labelNames: readonly string[] = []): Gauge<string> =>
    new Gauge({ name: `xdpsteer_${name}`, help, labelNames: [...labelNames], registers: [registry] });

  addInterfaces(snapshot, counter, gauge);
  addRules(snapshot, counter);

  const up = gauge("worker_up", "1 while the worker's loop runs", ["worker"]);
  const busy = gauge("worker_busy_ratio", "Share of the last second or more in which the worker had packets", [
    "worker",
  ]);
  for (const { worker, state, busyRatio } of snapshot.workers) {
    up.set({ worker: `${worker}` }, state === "running" ? 1 : 0);
    busy.set({ worker: `${worker}` }, busyRatio);
  }
  gauge("config_generation", "Number of the configuration in force").set(snapshot.generation);
  const results = counter("config_reloads_total", "Configurations offered, by what became of them", ["result"]);
  for (const [result, count] of Object.entries(reloads)) results.inc({ result }, count);
  gauge("build_info", "1, with the version in its labels", Object.keys(build)).set(build, 1);
  return { contentType: registry.contentType, text: await registry.metrics() };
}

type MakeCounter = (name: string, help: string, labelNames: readonly string[]) => Counter<string>;
type MakeGauge = (name: string, help: string, labelNames?: readonly string[]) => Gauge<string>;

function addInterfaces({ interfaces }: Snapshot, counter: MakeCounter, gauge: MakeGauge): void {
  const seen = counter("xdp_seen_packets_total", "Packets the XDP program was run on", ["interface"]);
  const verdicts = counter("xdp_packets_total", "Packets by what the XDP program decided, and why", [
    "interface",
    "verdict",
    "reason",
  ]);
  const drops = counter("xsk_drops_total", "XDP_STATISTICS of each AF_XDP socket, by the kernel's name of the reason", [
    "interface",
    "queue",
    "worker",
    "reason",
  ]);
  const fill = gauge("ring_fill", "Entries waiting in a ring", ["interface", "queue", "ring"]);
  for (const { name, seen: packets, verdicts: byVerdict, queues } of interfaces) {
    seen.inc({ interface: name }, packets);
    for (const [verdict, byReason] of Object.entries(byVerdict)) {
      for (const [reason, count] of Object.entries(byReason)) verdicts.inc({ interface: name, verdict, reason }, count);
    }
    for (const { queue, sockets, ...rings } of queues) {
      const place = { interface: name, queue: `${queue}` };
      fill.set({ ...place, ring: "fill" }, rings.fill);
      fill.set({ ...place, ring: "completion" }, rings.completion);
      fill.set({ ...place, ring: "rx" }, sockets.reduce((sum, { rx }) => sum + rx, 0));
      fill.set({ ...place, ring: "tx" }, sockets.reduce((sum, { tx }) => sum + tx, 0));
      for (const { worker, statistics } of sockets) {
        for (const [reason, count] of Object.entries(statistics)) {
          // The fill ring is the queue's, and each of its sockets reports the same number: it is counted once.
          if (reason === "rx_fill_ring_empty_descs" && worker !== 0) continue;
          drops.inc({ ...place, worker: `${worker}`, reason }, count);
        }
      }
    }
  }
}

function addRules({ rules }: Snapshot, counter: MakeCounter): void {
  const labels = ["rule", "worker", "fate"];
  const packets = counter(
    "rule_packets_total",
    "Packets of a rule by what became of them; worker xdp: in the kernel",
    labels,
  );
  const bytes = counter("rule_bytes_total", "Bytes of the frames counted in xdpsteer_rule_packets_total", labels);
  const received = counter("worker_received_packets_total", "Packets a worker took from a queue's rx ring, by rule", [
    "rule",
    "worker",
    "interface",
    "queue",
  ]);
  for (const { name: rule, workers, dropped, passed } of rules) {
    for (const [fate, counts] of Object.entries({ dropped, passed })) {
      if (counts.packets === 0) continue;
      packets.inc({ rule, worker: IN_KERNEL, fate }, counts.packets);
      bytes.inc({ rule, worker: IN_KERNEL, fate }, counts.bytes);
    }
    for (const { worker, fates, received: places } of workers) {
      for (const [fate, counts] of Object.entries(fates)) {
        if (counts.packets === 0) continue;
        packets.inc({ rule, worker: `${worker}`, fate }, counts.packets);
        bytes.inc({ rule, worker: `${worker}`, fate }, counts.bytes);
      }
      for (const { interface: name, queue, packets: count } of places) {
        if (count > 0) received.inc({ rule, worker: `${worker}`, interface: name, queue: `${queue}` }, count);
      }
    }
  }
}
