/**
 * The snapshot as Prometheus metrics. Names, labels and meanings are in metric_families.ts.
 *
 * @module
 */
import type { Snapshot } from "./observer.ts";
import { type Problem, PROBLEM_KINDS } from "./problems/kinds.ts";
import { type Carried, CONTENT_TYPE, Exposition, type Labels, labels } from "./exposition.ts";
import { interfaceIsUp, processStats } from "../host/process_stats.ts";
import type { Handovers } from "../appliance/handover/estate.ts";
import type { Reloader } from "../appliance/reload.ts";
import { ANSWER_BUCKETS } from "../steering/backend_counts.ts";
import { outputState } from "../stderr.ts";
import { SOCKET_COUNTERS, tells } from "../xsk/socket_counters.ts";
import { TRANSLATION_PORTS } from "../steering/slots.ts";
import type { InterfaceStatus, QueueStatus, RuleStatus, WorkerRuleStatus, WorkerStatus } from "./snapshot.ts";

/** Label value of packets whose fate was decided in the XDP program. */
const IN_KERNEL = "xdp";

/** What has been handed over, and what was counted before this process. */
export interface Past {
  readonly handovers: Handovers["counts"];
  readonly carried: Carried;
}

const NO_PAST: Past = { handovers: { adopted: 0, done: 0, refused: 0, rolled_back: 0 }, carried: new Map() };

/** One scrape. What is gone from the snapshot is gone from the scrape. */
export function renderMetrics(
  ...words: Parameters<typeof fill>
): { readonly contentType: string; readonly text: string } {
  return { contentType: CONTENT_TYPE, text: fill(...words).text() };
}

/** The counters that a process goes on with which takes over from this one. */
export function carriedCounters(...words: Parameters<typeof fill>): [key: string, value: number][] {
  return fill(...words).samplesOfProcess();
}

function fill(
  snapshot: Snapshot,
  reloads: Pick<Reloader, "counts" | "last">,
  problems: readonly Problem[],
  build: { readonly version: string },
  { handovers, carried }: Past = NO_PAST,
): Exposition {
  const out = new Exposition(carried);
  for (const status of snapshot.interfaces) addInterface(out, status);
  const labelsOf = placeLabels(snapshot.interfaces);
  for (const status of snapshot.rules) addRule(out, status, labelsOf);
  for (const { rule, written, dropped } of snapshot.captures) {
    out.add("xdpsteer_capture_packets_total", written, labels({ rule, result: "written" }));
    out.add("xdpsteer_capture_packets_total", dropped, labels({ rule, result: "dropped" }));
  }
  for (const status of snapshot.workers) addWorker(out, status);
  for (const { name: backend, rules, health, noWay, sessions, leavingSeconds, ...flow } of snapshot.backends) {
    out.add("xdpsteer_backend_sessions", sessions, labels({ backend }));
    out.add("xdpsteer_backend_draining", flow.drain === null ? 0 : 1, labels({ backend }));
    out.add("xdpsteer_backend_packets_total", flow.packets.to, labels({ backend, direction: "to" }));
    out.add("xdpsteer_backend_packets_total", flow.packets.from, labels({ backend, direction: "from" }));
    const { buckets, sumMs } = flow.answerTimes;
    out.addHistogram("xdpsteer_backend_answer_seconds", ANSWER_BUCKETS, buckets, sumMs / 1000, labels({ backend }));
    out.add("xdpsteer_backend_leaving", leavingSeconds === null ? 0 : 1, labels({ backend }));
    if (rules.length === 0) continue; // only kept for its sessions: nobody is to be called because of it
    out.add("xdpsteer_backend_healthy", health?.healthy ?? true ? 1 : 0, labels({ backend }));
    out.add("xdpsteer_backend_reachable", noWay === null ? 1 : 0, labels({ backend }));
  }
  for (const [origin, bans] of Object.entries(snapshot.bans)) out.add("xdpsteer_bans", bans, labels({ origin }));
  for (const { name, backends, error, lastSuccess } of snapshot.names) {
    out.add("xdpsteer_name_backends", backends.length, labels({ name }));
    out.add("xdpsteer_name_resolved", error === null ? 1 : 0, labels({ name }));
    const seconds = lastSuccess === null ? 0 : Date.parse(lastSuccess) / 1000;
    out.add("xdpsteer_name_last_success_timestamp_seconds", seconds, labels({ name }));
  }
  for (const { name: list, entries, badLines, lastSuccess } of snapshot.lists) {
    out.add("xdpsteer_list_entries", entries, labels({ list }));
    out.add("xdpsteer_list_bad_lines", badLines, labels({ list }));
    const seconds = lastSuccess === null ? 0 : Date.parse(lastSuccess) / 1000;
    out.add("xdpsteer_list_last_success_timestamp_seconds", seconds, labels({ list }));
  }
  for (const { what, count } of snapshot.repairs) out.add("xdpsteer_repairs_total", count, labels({ what }));
  out.add("xdpsteer_paused_seconds_total", snapshot.pausedMs / 1000);
  out.add("xdpsteer_deadman_seconds_total", snapshot.deadman.seconds);
  for (const kind of PROBLEM_KINDS) {
    out.add("xdpsteer_problems", problems.filter((problem) => problem.kind === kind).length, labels({ kind }));
  }
  const startTimeSeconds = addProcess(out);
  addConfig(out, snapshot, reloads, startTimeSeconds);
  out.add("xdpsteer_log_lines_lost_total", outputState().linesLost);
  for (const [result, count] of Object.entries(handovers)) {
    out.add("xdpsteer_handovers_total", count, labels({ result }));
  }
  out.add("xdpsteer_build_info", 1, labels(build));
  return out;
}

function addInterface(out: Exposition, status: InterfaceStatus): void {
  const { name, currentName, ifindex, seen, verdicts, attach, fallbackReason, queues, state } = status;
  const at = labels({ interface: name });
  out.add("xdpsteer_xdp_seen_packets_total", seen, at);
  for (const [verdict, byReason] of Object.entries(verdicts)) {
    for (const [reason, packets] of Object.entries(byReason)) {
      out.add("xdpsteer_xdp_packets_total", packets, labels({ interface: name, verdict, reason }));
    }
  }
  // That of sockets that are cut off always has a sample, so that its rate is known.
  for (const [errno, packets] of Object.entries({ ENXIO: 0, ...status.redirectErrors })) {
    out.add("xdpsteer_redirect_errors_total", packets, labels({ interface: name, errno }));
  }
  out.add("xdpsteer_interface_info", 1, labels({ interface: name, attach }));
  out.add("xdpsteer_interface_fallback", fallbackReason === "" ? 0 : 1, at);
  out.add("xdpsteer_interface_up", ifindex !== null && interfaceIsUp(currentName, ifindex) ? 1 : 0, at);
  out.add("xdpsteer_interface_attached", state === "attached" ? 1 : 0, at);
  out.add("xdpsteer_interface_reattachments_total", status.reattachments, at);
  out.add("xdpsteer_interface_unattached_seconds_total", status.unattachedMs / 1000, at);
  out.add("xdpsteer_interface_unsent_packets_total", status.unsent, at);
  for (const queue of queues) addQueue(out, name, queue);
}

function addQueue(out: Exposition, name: string, { queue, zeroCopy, sockets, ringSizes, ...rings }: QueueStatus): void {
  const at = labels({ interface: name, queue });
  out.add("xdpsteer_queue_zero_copy", zeroCopy ? 1 : 0, at);
  const filled = {
    fill: rings.fill,
    completion: rings.completion,
    rx: sockets.reduce((sum, { rx }) => sum + rx, 0),
    tx: sockets.reduce((sum, { tx }) => sum + tx, 0),
  };
  for (const ring of ["fill", "completion", "rx", "tx"] as const) {
    const place = `${at},ring="${ring}"`;
    // Fill and completion ring are the queue's, rx and tx ring each socket's.
    const many = ring === "rx" || ring === "tx" ? sockets.length : 1;
    out.add("xdpsteer_ring_fill", filled[ring], place);
    out.add("xdpsteer_ring_size", ringSizes[ring] * many, place);
  }
  for (const socket of sockets) {
    const place = `${at},worker="${socket.worker}"`;
    for (const ring of ["rx", "tx"] as const) {
      out.add("xdpsteer_socket_ring_used_ratio", socket[ring] / ringSizes[ring], `${place},ring="${ring}"`);
    }
    for (const reason of SOCKET_COUNTERS) {
      if (!tells(reason, socket.worker)) continue; // counted once
      out.add("xdpsteer_xsk_drops_total", socket.statistics[reason], `${place},reason="${reason}"`);
    }
  }
}

type LabelsOf = ReadonlyMap<string, readonly Labels[]>;

/** The labels of each interface's queues, by its name and the queue's number: thousands of rules share them. */
function placeLabels(interfaces: readonly InterfaceStatus[]): LabelsOf {
  return new Map(interfaces.map(({ name, queues }) => {
    const byQueue: Labels[] = [];
    for (const { queue } of queues) byQueue[queue] = labels({ interface: name, queue });
    return [name, byQueue];
  }));
}

function addRule(out: Exposition, status: RuleStatus, labelsOf: LabelsOf): void {
  const { name, workers, dropped, passed, delivered, answered, guarded, fragments } = status;
  const rule = labels({ rule: name });
  // What comes to translation ports comes from the backends' side, whoever sent it.
  const direction = name === TRANSLATION_PORTS ? "back" : "in";
  const inKernel = `${rule},worker="${IN_KERNEL}"`;
  for (const [fate, { packets, bytes }] of Object.entries({ dropped, passed, delivered })) {
    if (packets === 0) continue;
    out.add("xdpsteer_rule_packets_total", packets, `${inKernel},fate="${fate}",direction="${direction}"`);
    out.add("xdpsteer_rule_bytes_total", bytes, `${inKernel},fate="${fate}",direction="${direction}"`);
  }
  const { observed, overTotal, ...enforced } = guarded;
  for (const [reason, packets] of Object.entries(enforced)) {
    if (packets === 0) continue;
    out.add("xdpsteer_rule_guarded_packets_total", packets, `${rule},reason="${reason}",mode="enforce"`);
  }
  if (overTotal > 0) out.add("xdpsteer_rule_over_total_packets_total", overTotal, rule);
  if (observed > 0) {
    out.add("xdpsteer_rule_guarded_packets_total", observed, `${rule},reason="limited",mode="observe"`);
  }
  if (fragments > 0 || status.action === "forward" || name === TRANSLATION_PORTS) {
    out.add("xdpsteer_rule_dropped_fragments_total", fragments, rule);
  }
  if (delivered.packets > 0) {
    out.add("xdpsteer_rule_answered_packets_total", answered.packets, rule);
    out.add("xdpsteer_rule_answered_bytes_total", answered.bytes, rule);
  }
  addRuleWorkers(out, rule, direction, workers, labelsOf);
  addRuleWorkers(out, rule, "back", status.answers, labelsOf);
}

/** What workers did with a rule's packets in one direction. */
function addRuleWorkers(
  out: Exposition,
  rule: Labels,
  direction: "in" | "back",
  workers: readonly WorkerRuleStatus[],
  labelsOf: LabelsOf,
): void {
  for (const { worker, fates, received } of workers) {
    const inWorker = `${rule},worker="${worker}"`;
    for (const fate in fates) { // no list of pairs: there may be thousands of rules, and most fates have no packets
      const { packets, bytes } = fates[fate]!;
      if (packets === 0) continue;
      const ofFate = `${inWorker},fate="${fate}",direction="${direction}"`;
      out.add("xdpsteer_rule_packets_total", packets, ofFate);
      out.add("xdpsteer_rule_bytes_total", bytes, ofFate);
    }
    for (const { interface: name, queue, packets } of received) {
      if (packets === 0) continue;
      const place = `${labelsOf.get(name)![queue]!},direction="${direction}"`;
      out.add("xdpsteer_worker_received_packets_total", packets, `${inWorker},${place}`);
    }
  }
}

function addWorker(
  out: Exposition,
  { worker, state, busyRatio, idleMs, stillMs, replacements, cpuWaitMs, loop }: WorkerStatus,
): void {
  const at = labels({ worker });
  out.add("xdpsteer_worker_up", state === "running" ? 1 : 0, at);
  out.add("xdpsteer_worker_busy_ratio", busyRatio, at);
  out.add("xdpsteer_worker_idle_seconds_total", idleMs / 1000, at);
  out.add("xdpsteer_worker_batches_total", loop.batches, at);
  out.add("xdpsteer_worker_sleeps_total", loop.sleeps, at);
  out.add("xdpsteer_worker_tx_wakeups_total", loop.txWakeups, at);
  out.add("xdpsteer_worker_lock_misses_total", loop.lockMisses, at);
  out.add("xdpsteer_worker_pauses_total", loop.pauses, at);
  out.add("xdpsteer_worker_pause_seconds_total", loop.pauseMs / 1000, at);
  out.add("xdpsteer_worker_still_seconds_total", stillMs / 1000, at);
  out.add("xdpsteer_worker_replacements_total", replacements, at);
  out.add("xdpsteer_worker_cpu_wait_seconds_total", cpuWaitMs / 1000, at);
  out.add("xdpsteer_worker_sessions", loop.sessions, at);
  out.add("xdpsteer_worker_session_evictions_total", loop.evictions, at);
  out.add("xdpsteer_worker_sessions_refused_total", loop.refusedRows, `${at},bound="rows"`);
  out.add("xdpsteer_worker_sessions_refused_total", loop.refusedPorts, `${at},bound="ports"`);
  out.add("xdpsteer_worker_sessions_refused_total", loop.refusedBackends, `${at},bound="backends"`);
}

function addConfig(
  out: Exposition,
  { generation, rules }: Snapshot,
  { counts, last }: Pick<Reloader, "counts" | "last">,
  startTimeSeconds: number,
): void {
  out.add("xdpsteer_config_generation", generation);
  out.add("xdpsteer_config_rules", rules.filter(({ inForce }) => inForce).length);
  for (const [result, count] of Object.entries(counts)) {
    out.add("xdpsteer_config_reloads_total", count, labels({ result }));
  }
  const lastSeconds = last === undefined ? startTimeSeconds : Date.parse(last.time) / 1000;
  out.add("xdpsteer_config_last_reload_successful", last?.result === "refused" ? 0 : 1);
  out.add("xdpsteer_config_last_reload_timestamp_seconds", lastSeconds);
}

/** @returns when the process started. */
function addProcess(out: Exposition): number {
  const stats = processStats();
  out.add("process_cpu_seconds_total", stats.cpuSeconds);
  out.add("process_resident_memory_bytes", stats.residentBytes);
  out.add("process_virtual_memory_bytes", stats.virtualBytes);
  out.add("process_open_fds", stats.openFds);
  out.add("process_max_fds", stats.maxFds);
  out.add("process_threads", stats.threads);
  out.add("process_start_time_seconds", stats.startTimeSeconds);
  return stats.startTimeSeconds;
}
