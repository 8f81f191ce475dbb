/**
 * The kinds of problems that a running box can have, in one table. The list of problems, `/readyz`, the log, the
 * metrics, docs/operations.md and the checks of the alerts are made from it.
 *
 * @module
 */

/** What a problem is about. */
export type SubjectKind =
  | "address"
  | "backend"
  | "file"
  | "http"
  | "interface"
  | "list"
  | "map"
  | "name"
  | "process"
  | "queue"
  | "rule"
  | "worker";

export interface ProblemKindEntry {
  /** critical: packets are not served. warning: they are, but something is lost, or will be. */
  readonly severity: "critical" | "warning";
  readonly subject: SubjectKind;
  /** What cannot be served because of it: all packets, or those of the rule that it is about. */
  readonly stops?: "box" | "rule";
  /** It is listed once it has lasted so long: what a start or a change needs a moment for is none. */
  readonly afterMs?: number;
  /** True where the log says more of it than the list does, when it begins. */
  readonly logged?: true;
  /** For operators: begins small and ends without a full stop. */
  readonly words: string;
  /** What to do, as docs/operations.md has it: Markdown, begins small and ends without a full stop. */
  readonly remedy: string;
  /** The alert that tells it: config/prometheus-alerts.yaml. */
  readonly alert: string;
}

/** Backends that have just been named are first asked for, and answer, within this time. */
const FIRST_ANSWER_MS = 1000;

/** A reader may be busy for a moment. */
const UNREAD_MS = 1000;

/** Most urgent first. */
export const PROBLEM_TABLE = {
  worker_down: {
    severity: "critical",
    subject: "worker",
    stops: "box",
    words: "a worker has ended, or its loop has not turned for 0.8 s: its packets are lost",
    remedy: "[A worker is down](#a-worker-is-down)",
    alert: "XdpsteerWorkerDown",
  },
  deadman_on: {
    severity: "critical",
    subject: "worker",
    stops: "box",
    words: "no worker's loop has turned for 0.5 s, and everything passes to the kernel stack until one does",
    remedy: "[Everything passes to the kernel stack](#everything-passes-to-the-kernel-stack)",
    alert: "XdpsteerDeadman",
  },
  interface_gone: {
    severity: "critical",
    subject: "interface",
    stops: "box",
    logged: true,
    words: "a steered interface is not there any more; it is attached again as soon as it is",
    remedy: "[An interface is not attached](#an-interface-is-not-attached)",
    alert: "XdpsteerInterfaceNotAttached",
  },
  program_detached: {
    severity: "critical",
    subject: "interface",
    stops: "box",
    logged: true,
    words: "an interface is there, but its packets are not steered: somebody detached it, or it cannot be attached",
    remedy: "[An interface is not attached](#an-interface-is-not-attached)",
    alert: "XdpsteerInterfaceNotAttached",
  },
  interface_down: {
    severity: "critical",
    subject: "interface",
    stops: "box",
    words: "an interface is down, or has no carrier; it stops nothing while another one is attached and up",
    remedy: "[Nothing arrives](#nothing-arrives)",
    alert: "XdpsteerInterfaceDown",
  },
  queues_added: {
    severity: "critical",
    subject: "interface",
    stops: "box",
    logged: true,
    words: "an interface has more queues than at the start, without sockets: their packets go to the kernel stack",
    remedy: "[A queue is not covered](#a-queue-is-not-covered)",
    alert: "XdpsteerQueuesAdded",
  },
  rule_without_backend: {
    severity: "critical",
    subject: "rule",
    stops: "rule",
    afterMs: FIRST_ANSWER_MS,
    words: "a rule has no usable backend: each fails its health check, does not answer, or cannot be reached",
    remedy: "[A backend is down](#a-backend-is-down)",
    alert: "XdpsteerRuleWithoutBackend",
  },
  family_without_backend: {
    severity: "critical",
    subject: "rule",
    afterMs: FIRST_ANSWER_MS,
    words: "a rule has usable backends for one IP version only, though it lists some for both",
    remedy: "[A backend is down](#a-backend-is-down)",
    alert: "XdpsteerRuleWithoutBackend",
  },
  uncovered_queue: {
    severity: "critical",
    subject: "interface",
    words: "packets for listed ports arrive on a queue without sockets and go to the kernel stack",
    remedy: "[A queue is not covered](#a-queue-is-not-covered)",
    alert: "XdpsteerUncoveredQueue",
  },
  backend_unhealthy: {
    severity: "warning",
    subject: "backend",
    logged: true,
    words: "a backend fails its health checks, or does not answer clients (passive)",
    remedy: "[A backend is down](#a-backend-is-down)",
    alert: "XdpsteerBackendDown",
  },
  backend_no_route: {
    severity: "warning",
    subject: "backend",
    words: "the kernel has no route to a backend",
    remedy: "`ip route add BACKEND dev INTERFACE`, or `via GATEWAY`; or correct its address in the file",
    alert: "XdpsteerBackendDown",
  },
  backend_not_steered: {
    severity: "warning",
    subject: "backend",
    words: "the way to a backend leads out of an interface that is not steered",
    remedy: "add the interface to `interfaces:` and restart, or change the route",
    alert: "XdpsteerBackendDown",
  },
  next_hop_dead: {
    severity: "warning",
    subject: "backend",
    afterMs: FIRST_ANSWER_MS,
    words: "the next hop on the way to a backend does not answer ARP or ND, or the link to it is down",
    remedy: "`ip neighbour show`; is it in the same VLAN, is its link up?",
    alert: "XdpsteerBackendDown",
  },
  address_missing: {
    severity: "warning",
    subject: "address",
    words: "no interface of the box has an address that sessions are translated to: answers to it are lost",
    remedy: "`xdpsteer doctor` has the command that adds it; or take it out of `forwarding.addresses`",
    alert: "XdpsteerAddressMissing",
  },
  check_hindered: {
    severity: "warning",
    subject: "backend",
    logged: true,
    words: "this machine cannot carry out a backend's health check, so the backend stays as it was",
    remedy: "the message says which call fails: a packet filter, a missing capability, no free port",
    alert: "XdpsteerCheckHindered",
  },
  sessions_full: {
    severity: "warning",
    subject: "rule",
    words:
      "new clients of a rule are refused: each session, or each translation port with a backend, is a conversation",
    remedy: "[Sessions are refused](#sessions-are-refused)",
    alert: "XdpsteerSessionsFull",
  },
  packets_too_big: {
    severity: "warning",
    subject: "rule",
    words:
      "in 10 s at least 5 packets of a rule, or answers of its backends, and 1 % of all, were larger than the way " +
      "out allows, or came in fragments",
    remedy: "[Packets are too big](#packets-are-too-big)",
    alert: "XdpsteerPacketsTooBig",
  },
  packets_lost: {
    severity: "warning",
    subject: "queue",
    words: "packets for workers are lost at a queue: the rx ring is full, or no chunk is free",
    remedy: "[Packets are lost at a socket](#packets-are-lost-at-a-socket)",
    alert: "XdpsteerPacketsLost",
  },
  steering_changed: {
    severity: "warning",
    subject: "map",
    logged: true,
    words: "in the last second somebody else changed in the kernel what steers packets, and it was put right",
    remedy: "[Somebody changes what steers packets](#somebody-changes-what-steers-packets)",
    alert: "XdpsteerSteeringChanged",
  },
  paused: {
    severity: "warning",
    subject: "process",
    logged: true,
    words: "in the last second the process came back that had not run for a second or more, and its packets had waited",
    remedy: "see who stops it: a debugger, `kill -STOP`, a frozen cgroup; a virtual machine that is saved, moved or " +
      "suspended",
    alert: "XdpsteerPaused",
  },
  mtu_too_large: {
    severity: "warning",
    subject: "interface",
    words: "packets of an interface may be longer than a chunk, and are lost then: its MTU was raised",
    remedy: "set the MTU back, or `umem: { chunk_size: 4096 }` and restart",
    alert: "XdpsteerMtuTooLarge",
  },
  answers_lost: {
    severity: "warning",
    subject: "rule",
    words: "packets of a rule are not sent: the tx ring is full",
    remedy: "[The tx ring is full](#the-tx-ring-is-full)",
    alert: "XdpsteerAnswersLost",
  },
  capture_failed: {
    severity: "warning",
    subject: "rule",
    logged: true,
    words: "a rule is not captured: its file cannot be written",
    remedy: "the message says why; then save the configuration with another file, or `xdpsteer reload`",
    alert: "XdpsteerCaptureFailed",
  },
  name_unresolved: {
    severity: "warning",
    subject: "name",
    logged: true,
    words: "the name of a backend cannot be looked up, or has no address: what it last meant stays in force",
    remedy: "[A name cannot be looked up](#a-name-cannot-be-looked-up)",
    alert: "XdpsteerNameUnresolved",
  },
  list_missing: {
    severity: "warning",
    subject: "list",
    logged: true,
    words: "a list's file or page has never been read: only what the configuration itself has of it counts",
    remedy: "[A list is not what it should be](#a-list-is-not-what-it-should-be)",
    alert: "XdpsteerListStale",
  },
  list_stale: {
    severity: "warning",
    subject: "list",
    logged: true,
    words: "a list's file or page cannot be read or is not to be taken: what was read before stays in force",
    remedy: "[A list is not what it should be](#a-list-is-not-what-it-should-be)",
    alert: "XdpsteerListStale",
  },
  list_bad_lines: {
    severity: "warning",
    subject: "list",
    logged: true,
    words: "lines of a list's file or page are no prefixes, or too wide, and are left out",
    remedy: "[A list is not what it should be](#a-list-is-not-what-it-should-be)",
    alert: "XdpsteerListStale",
  },
  config_last_good: {
    severity: "warning",
    subject: "file",
    logged: true,
    words: "the configuration file was refused at the start, and the last good configuration is in force instead",
    remedy: "[The last good configuration is in force](#the-last-good-configuration-is-in-force)",
    alert: "XdpsteerLastGoodConfig",
  },
  config_refused: {
    severity: "warning",
    subject: "file",
    logged: true,
    words:
      "the configuration file cannot be put in force: a restart would fail, the change needs one, or no new process could take over with it",
    remedy: "[A configuration is refused](#a-configuration-is-refused)",
    alert: "XdpsteerConfigRefused",
  },
  config_settling: {
    severity: "warning",
    subject: "file",
    logged: true,
    words:
      "the configuration file has lost more than half of at least four rules, and is put in force when it still says " +
      "so after `control.settle` seconds",
    remedy: "`xdpsteer reload` puts it in force at once; or save it whole",
    alert: "XdpsteerConfigRefused",
  },
  config_unconfirmed: {
    severity: "warning",
    subject: "file",
    logged: true,
    words: "a change is in force that is taken back by itself unless it is confirmed",
    remedy: "`xdpsteer confirm` keeps it; or wait",
    alert: "XdpsteerConfigUnsaved",
  },
  config_unsaved: {
    severity: "warning",
    subject: "file",
    words: "rules in force are not in the configuration file: a restart would undo them",
    remedy: "repeat the change with `--save`, edit the file, or `xdpsteer reload` to undo it",
    alert: "XdpsteerConfigUnsaved",
  },
  control_socket_lost: {
    severity: "warning",
    subject: "file",
    logged: true,
    words:
      "commands do not reach the box: something else has taken the place of the control socket, or it cannot be made",
    remedy: "`ls -l SOCKET`, and move it away: the socket is made again at once",
    alert: "XdpsteerControlLost",
  },
  http_lost: {
    severity: "warning",
    subject: "http",
    words:
      "the TCP address of the HTTP interface is not served: a thread of it has failed and does not end, or another " +
      "program has it",
    remedy: "`ss -tlpn` names who has it; if that is xdpsteer itself: `systemctl restart xdpsteer`",
    alert: "XdpsteerControlLost",
  },
  log_unread: {
    severity: "warning",
    subject: "file",
    afterMs: UNREAD_MS,
    words: "standard error takes no more lines of the log: who reads it has stopped, or has ended, or its disk is full",
    remedy: "see what reads it (the journal, a container runtime, a pipe); make room on its disk",
    alert: "XdpsteerLogUnread",
  },
  nobody_listens: {
    severity: "warning",
    subject: "rule",
    afterMs: FIRST_ANSWER_MS,
    words: "a rule delivers to a port that no program of this box listens on: its clients get port unreachable",
    remedy: "start the program, or name the port that it has (`ss -ulpn`)",
    alert: "XdpsteerNobodyListens",
  },
  local_listener: {
    severity: "warning",
    subject: "rule",
    words: "a program of this box listens on a port of a rule, and gets no packets",
    remedy: "stop it (`ss -ulpn` names it), or give the port `action: pass`",
    alert: "XdpsteerLocalListener",
  },
} as const satisfies Readonly<Record<string, ProblemKindEntry>>;

export type ProblemKind = keyof typeof PROBLEM_TABLE;

export const PROBLEM_KINDS = Object.keys(PROBLEM_TABLE) as readonly ProblemKind[];

export function entryOf(kind: ProblemKind): ProblemKindEntry {
  return PROBLEM_TABLE[kind];
}

/** Something that is not as it should be, as whoever looks finds it. */
export interface FoundProblem {
  readonly kind: ProblemKind;
  /** Name of the rule, interface, backend or file; `eth0 queue 3`. */
  readonly subject: string;
  /** A sentence without a final period. */
  readonly message: string;
  /** The command or the key that fixes it, where there is one. */
  readonly fix?: string;
  /** What more there is to say, in lines. */
  readonly detail?: string;
  /** True where nothing is stopped by it though its kind may. */
  readonly stopsNothing?: true;
}

/** A problem that lasts, as all are told. */
export interface Problem {
  readonly kind: ProblemKind;
  readonly severity: ProblemKindEntry["severity"];
  readonly subject: { readonly kind: SubjectKind; readonly name: string };
  /** ISO 8601, UTC. */
  readonly since: string;
  readonly message: string;
  readonly fix: string | null;
  /** What more there is to say, in lines. */
  readonly detail: string | null;
  /** What is not ready because of it. */
  readonly stops: "box" | "rule" | null;
}

/** A problem that is over: for whoever looks too late to see it, and for nobody's exit code. */
export interface EndedProblem extends Omit<Problem, "detail" | "stops"> {
  /** ISO 8601, UTC. */
  readonly ended: string;
  /** Since then, seconds. */
  readonly endedSecondsAgo: number;
  /** How often a problem of this kind and subject has ended, of those that are remembered. */
  readonly times: number;
}
