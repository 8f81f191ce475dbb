/**
 * Every metric of `/metrics`: name, type, labels, and what it means. The scrape, docs/metrics.md and the tests read
 * this one table. Names and labels are a contract: they may be added to, never changed.
 *
 * @module
 */

import { LOST_COUNTERS } from "../xsk/socket_counters.ts";

export interface MetricFamily {
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  /** In the order in which a sample has them. */
  readonly labels: readonly string[];
  /** True for a counter that each process keeps for itself, and its successor goes on with. */
  readonly ofProcess?: true;
}

function counter(help: string, ...labels: string[]): MetricFamily {
  return { type: "counter", help, labels };
}

/** A counter that a process begins where the one before it was. All others lie in memory that outlives it. */
function processCounter(help: string, ...labels: string[]): MetricFamily {
  return { ...counter(help, ...labels), ofProcess: true };
}

function gauge(help: string, ...labels: string[]): MetricFamily {
  return { type: "gauge", help, labels };
}

function histogram(help: string, ...labels: string[]): MetricFamily {
  return { type: "histogram", help, labels };
}

/** In the order of the scrape. Metrics of the process have the names that all Prometheus clients give them. */
export const METRICS = {
  xdpsteer_xdp_seen_packets_total: counter("Packets the XDP program was run on", "interface"),
  xdpsteer_xdp_packets_total: counter(
    "Packets by the XDP program's verdict and its reason",
    "interface",
    "verdict",
    "reason",
  ),
  xdpsteer_xsk_drops_total: counter(
    "XDP_STATISTICS of each AF_XDP socket, by the kernel's name of the counter; " +
      `${LOST_COUNTERS.join(" and ")} are lost packets`,
    "interface",
    "queue",
    "worker",
    "reason",
  ),
  xdpsteer_redirect_errors_total: counter(
    "Packets lost because the kernel could not redirect them to a socket, by errno; those with ENOBUFS, ENOMEM or " +
      "ENOSPC are in xdpsteer_xsk_drops_total too. Counted while the kernel's tracepoints are watched: from shortly " +
      "after the start",
    "interface",
    "errno",
  ),
  xdpsteer_ring_fill: gauge(
    "Entries waiting in a ring; for rx and tx, in the rings of all workers",
    "interface",
    "queue",
    "ring",
  ),
  xdpsteer_ring_size: gauge(
    "Size in entries of the rings that xdpsteer_ring_fill counts",
    "interface",
    "queue",
    "ring",
  ),
  xdpsteer_socket_ring_used_ratio: gauge(
    "Used share of one socket's rx or tx ring, 0 to 1",
    "interface",
    "queue",
    "worker",
    "ring",
  ),
  xdpsteer_interface_info: gauge(
    "1; its labels have the XDP mode that was granted: native or generic; none while it is not attached",
    "interface",
    "attach",
  ),
  xdpsteer_interface_fallback: gauge("1 if native XDP was tried and generic was granted", "interface"),
  xdpsteer_interface_up: gauge("1 while the attached interface exists and has a carrier", "interface"),
  xdpsteer_interface_attached: gauge(
    "1 while the XDP program is attached to the interface and packets reach the workers",
    "interface",
  ),
  xdpsteer_interface_reattachments_total: counter(
    "Number of times the interface was attached again after it had gone, or was detached by force",
    "interface",
  ),
  xdpsteer_interface_unattached_seconds_total: counter(
    "Time since the start for which the interface was gone or detached, to the look that found it, at most 0.5 s too " +
      "long: packets went past then, and no counter has them",
    "interface",
  ),
  xdpsteer_interface_unsent_packets_total: counter(
    "Packets counted as sent that were still in a tx ring when the interface went away",
    "interface",
  ),
  xdpsteer_queue_zero_copy: gauge(
    "1 if the kernel granted zero-copy to all sockets of a queue",
    "interface",
    "queue",
  ),

  xdpsteer_rule_packets_total: counter(
    "Packets of a rule by their fate; the worker is xdp for fates in the XDP program. Direction: in from clients, or " +
      "back from backends, to the clients of a rule that forwards",
    "rule",
    "worker",
    "fate",
    "direction",
  ),
  xdpsteer_rule_bytes_total: counter(
    "Bytes of the frames counted in xdpsteer_rule_packets_total",
    "rule",
    "worker",
    "fate",
    "direction",
  ),
  xdpsteer_rule_dropped_fragments_total: counter(
    "First fragments to a rule's ports, or to the translation ports (answers in fragments), that the XDP program " +
      "dropped; of rules that forward, and of others that had some",
    "rule",
  ),
  xdpsteer_rule_guarded_packets_total: counter(
    "Packets that a rule's guard dropped in the XDP program (mode enforce), or would have dropped and let through " +
      "(observe), by reason: denied, banned, limited",
    "rule",
    "reason",
    "mode",
  ),
  xdpsteer_rule_answered_packets_total: counter(
    "Packets of local programs that left with the port of a rule with action deliver: answers to its clients",
    "rule",
  ),
  xdpsteer_rule_answered_bytes_total: counter(
    "Bytes of the frames counted in xdpsteer_rule_answered_packets_total",
    "rule",
  ),
  xdpsteer_rule_over_total_packets_total: counter(
    "Of the packets that are limited, or only observed: those over what the rule takes in total",
    "rule",
  ),
  xdpsteer_bans: gauge("Bans in force, by who set them: operator, or limit", "origin"),
  xdpsteer_worker_received_packets_total: counter(
    "Packets a worker took from a queue's rx ring, by rule and direction, as in xdpsteer_rule_packets_total",
    "rule",
    "worker",
    "interface",
    "queue",
    "direction",
  ),

  xdpsteer_capture_packets_total: processCounter(
    "Packets to be captured, by result: written to a file, or dropped because the disk or the writing thread is " +
      "too slow or the file cannot be written",
    "rule",
    "result",
  ),

  xdpsteer_worker_up: gauge(
    "1 while the worker's loop turns; 0 when it has ended, or has not turned for 0.8 s though it was woken",
    "worker",
  ),
  xdpsteer_worker_busy_ratio: gauge(
    "Share of the last second or more in which the worker had packets to process",
    "worker",
  ),
  xdpsteer_worker_idle_seconds_total: processCounter(
    "Time in which the worker had no packets, whether asleep or spinning",
    "worker",
  ),
  xdpsteer_worker_batches_total: counter("Batches a worker took from rx rings, 1 to 64 packets each", "worker"),
  xdpsteer_worker_sleeps_total: counter(
    "Number of times a worker went to sleep because there were no packets",
    "worker",
  ),
  xdpsteer_worker_tx_wakeups_total: counter("System calls a worker made to have its tx rings sent", "worker"),
  xdpsteer_worker_lock_misses_total: counter(
    "Number of times another worker held the lock of a queue's fill and completion rings",
    "worker",
  ),
  xdpsteer_worker_pauses_total: counter(
    "Number of times a spinning worker was kept from its CPU for a millisecond or more",
    "worker",
  ),
  xdpsteer_worker_pause_seconds_total: counter("Time lost in these pauses", "worker"),
  xdpsteer_worker_still_seconds_total: processCounter(
    "Time in which the worker's loop did not turn though it was woken, in steps of 0.2 s: its thread was stopped or " +
      "hung",
    "worker",
  ),
  xdpsteer_worker_replacements_total: processCounter(
    "Times that a worker has failed, or hung, and another thread has gone on for it, with its sockets and sessions",
    "worker",
  ),
  xdpsteer_worker_cpu_wait_seconds_total: processCounter(
    "Time in which the worker was ready to run and had no CPU, after a sleep too, as the kernel counts it; 0 where " +
      "it does not",
    "worker",
  ),

  xdpsteer_worker_sessions: gauge("Forwarding sessions of a worker", "worker"),
  xdpsteer_worker_session_evictions_total: counter(
    "Sessions that were replaced before they expired because the worker's table was full",
    "worker",
  ),
  xdpsteer_worker_sessions_refused_total: counter(
    "New sessions that were refused, by what there was not enough of: rows (forwarding.sessions), ports " +
      "(translation ports with the backend), or backends (max_sessions)",
    "worker",
    "bound",
  ),
  xdpsteer_backend_healthy: gauge(
    "1 while the health checks of a backend that a rule names succeed, or if it has none",
    "backend",
  ),
  xdpsteer_backend_reachable: gauge(
    "1 while a backend that a rule names has a route via a steered interface whose link is up, and the link address " +
      "of its next hop is known",
    "backend",
  ),
  xdpsteer_backend_sessions: gauge("Forwarding sessions with the backend", "backend"),
  xdpsteer_backend_draining: gauge(
    "1 for a backend that gets no new sessions because it is drained by hand or by the file, or is leaving, else 0",
    "backend",
  ),
  xdpsteer_backend_packets_total: counter(
    "Packets sent to the backend (direction to), and packets of it sent back to clients (direction from)",
    "backend",
    "direction",
  ),
  xdpsteer_backend_answer_seconds: histogram(
    "Time from a client's packet to the next answer of its session, of one packet at a time for each backend and " +
      "worker",
    "backend",
  ),
  xdpsteer_backend_leaving: gauge(
    "1 for a backend that no rule names any more and that still has sessions, else 0",
    "backend",
  ),

  xdpsteer_name_backends: gauge("Backends that a name in the configuration means now", "name"),
  xdpsteer_name_resolved: gauge(
    "1 if the name of a backend was looked up and has an address; 0: what it last meant is in force",
    "name",
  ),
  xdpsteer_name_last_success_timestamp_seconds: gauge(
    "When the name of a backend was last answered with an address, in seconds since 1970; 0: never",
    "name",
  ),
  xdpsteer_list_entries: gauge("Prefixes of a list of sources that are in force", "list"),
  xdpsteer_list_bad_lines: gauge(
    "Lines of a list's file or page that were left out: no prefix, or too wide a one",
    "list",
  ),
  xdpsteer_list_last_success_timestamp_seconds: gauge(
    "When the content of a list of sources was last found to be good, in seconds since 1970; 0: never",
    "list",
  ),
  xdpsteer_repairs_total: processCounter(
    "Times that something in the kernel was put right which somebody else had changed: the control word, the port " +
      "table, the sockets in xsk_map, or the program at tc egress; attached again is in " +
      "xdpsteer_interface_reattachments_total",
    "what",
  ),
  xdpsteer_paused_seconds_total: processCounter(
    "Time in which the process did not run though it should have, in pauses of a second and more: somebody stopped " +
      "it, or the machine stood still. Time without a free CPU is not in it: xdpsteer_worker_cpu_wait_seconds_total",
  ),
  xdpsteer_deadman_seconds_total: processCounter(
    "Time in which everything passed to the kernel stack, since no worker's loop had turned for 0.5 s; the packets " +
      "are in xdpsteer_xdp_packets_total under the reason deadman",
  ),
  xdpsteer_problems: gauge("Problems of a kind that there are now: xdpsteer status names them", "kind"),

  xdpsteer_log_lines_lost_total: processCounter("Lines of the log that were lost because nobody read standard error"),
  xdpsteer_handovers_total: counter(
    "Handovers to another process: done, refused (it was not ready), or rolled back; or adopted: it went on with what " +
      "one had that had crashed; in all processes since the first",
    "result",
  ),
  xdpsteer_config_generation: gauge("Generation of the active configuration"),
  xdpsteer_config_rules: gauge("Number of active rules"),
  xdpsteer_config_reloads_total: processCounter("Configurations offered, by result", "result"),
  xdpsteer_config_last_reload_successful: gauge(
    "0 if the last configuration offered was refused, else 1",
  ),
  xdpsteer_config_last_reload_timestamp_seconds: gauge(
    "When the last configuration was offered, even if it was refused; at first, when the process started",
  ),
  xdpsteer_build_info: gauge("1; its labels have the version", "version"),

  process_cpu_seconds_total: counter("CPU time of all threads, in user and kernel mode"),
  process_resident_memory_bytes: gauge("Physical memory in use, including packet memory"),
  process_virtual_memory_bytes: gauge("Address space in use; V8 reserves far more than it uses"),
  process_open_fds: gauge("Open file descriptors"),
  process_max_fds: gauge("Maximum number of file descriptors that it may open"),
  process_threads: gauge("Threads of the process"),
  process_start_time_seconds: gauge("When the process started"),
} as const satisfies Readonly<Record<string, MetricFamily>>;

export type MetricName = keyof typeof METRICS;
