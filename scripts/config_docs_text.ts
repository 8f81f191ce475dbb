/**
 * The parts of docs/configuration.md and docs/metrics.md that do not come from the code: their frames, and whole files
 * as examples, which gen_config_docs.ts parses. What it says of each key is in config_keys_text.ts.
 *
 * @module
 */

/** Whole files for common cases. */
export const EXAMPLES: readonly { readonly title: string; readonly text: string; readonly yaml: string }[] = [
  {
    title: "The smallest configuration",
    text: "One interface and one rule. Its packets are spread over one worker per CPU, counted and discarded.",
    yaml: `
version: 1
interfaces: [{ name: eth0 }]
steering:
  - { name: telemetry, ports: 9090 }
`,
  },
  {
    title: "A game server's edge",
    text: "Two workers, each with its own CPU and its own game; well-known amplifiers are dropped at the driver. " +
      "CPUs 0 and 1 are left to the kernel stack and to xdpsteer's control thread.",
    yaml: `
version: 1
interfaces:
  - name: eth0
    attach: native # refuse to start rather than run slowly
workers: { cpus: [2, 3] }
steering:
  - { name: arena, ports: 7777, worker: 0, action: echo }
  - { name: source, ports: "27015-27030", worker: 1, action: echo }
  - { name: amplifiers, ports: [19, 389, 11211], action: drop }
`,
  },
  {
    title: "Bursts",
    text: "More packet memory and longer rings hold a longer burst, at the cost of `chunks` x `chunk_size` bytes per " +
      "queue (here 64 MiB): a ring of 16,384 entries holds what arrives in 16 ms at a million packets per " +
      "second. The fill ring is as large as the number of chunks, so that every chunk fits into it.",
    yaml: `
version: 1
interfaces:
  - name: eth0
    umem: { chunks: 32768 }
    rings: { rx: 16384, tx: 4096, fill: 32768, completion: 4096 }
workers: { count: 2 }
steering:
  - { name: telemetry, ports: 9090 }
`,
  },
  {
    title: "Large frames",
    text: "A packet must fit into one chunk. Chunks of 4096 bytes allow an MTU of up to 3826.",
    yaml: `
version: 1
interfaces:
  - name: eth0
    umem: { chunk_size: 4096 }
steering:
  - { name: telemetry, ports: 9090 }
`,
  },
  {
    title: "The lowest latency",
    text: "A busy worker never sleeps. It uses its CPU fully, so nothing else should run there.",
    yaml: `
version: 1
interfaces: [{ name: eth0 }]
workers: { cpus: [3], wait: busy }
steering:
  - { name: game, ports: 7777, worker: 0, action: echo }
`,
  },
  {
    title: "Game servers of the Source engine behind the box",
    text:
      'Text is sent as UTF-8, where `"\\xFF"` is the two bytes `c3 bf`. The query that these servers answer begins ' +
      "with four bytes `ff`, so it is written in hex: `ff ff ff ff`, the text `TSource Engine Query` and a zero byte.",
    yaml: `
version: 1
interfaces: [{ name: eth0 }]
steering:
  - name: source
    ports: "27015-27030"
    action:
      forward:
        to: ["10.0.0.11:27015", "10.0.0.12:27015"]
        health:
          check: udp
          send: { hex: ff ff ff ff 54 53 6f 75 72 63 65 20 45 6e 67 69 6e 65 20 51 75 65 72 79 00 }
          expect: { hex: ff ff ff ff }
`,
  },
  {
    title: "Two interfaces, and a group with access",
    text: "The rules apply to both interfaces. Members of `netops` can use `xdpsteer status`, `top` and `ports` " +
      "without root.",
    yaml: `
version: 1
interfaces:
  - { name: eth0 }
  - { name: eth1, queues: [0, 1] }
workers: { count: 2 }
steering:
  - { name: dns, ports: 53, worker: hash, action: pass } # counted, and passed to the kernel stack
  - { name: voip, ports: "10000-10999", worker: 1 }
control: { group: netops, http: 127.0.0.1:9470 }
log: { format: json }
`,
  },
];

/** A file with mistakes, to show how they are reported. */
export const MISTAKES = `version: 1
interfaces:
  - { name: eth0, atach: native }
workers: { count: 2 }
steering:
  - { name: game, ports: "27015-27030", worker: 2 }
  - { name: voice, ports: 27020 }
`;

const MADE = "<!-- Made by scripts/gen_config_docs.ts: change src/config/schema.ts, src/observe/metric_families.ts, " +
  "src/observe/vocabulary.ts or scripts/config_*_text.ts, and run scripts/dev schema. -->";

export const CONFIG_PAGE = `# Configuration

${MADE}

The configuration is one YAML file of at most 1 MiB, by default \`/etc/xdpsteer/steering.yaml\`. It must be a regular
file or a link to one; xdpsteer refuses anything else, such as a FIFO, without waiting for it, and a file with more than
200,000 values, commas, colons and brackets: all ports one by one in a thousand rules are 150,000.
\`xdpsteer check FILE\` reports the mistakes in a file, or what it means, and changes nothing. With a first line
\`# yaml-language-server: $schema=./steering.schema.json\`, editors offer completion
([steering.schema.json](../config/steering.schema.json)). [steering.example.yaml](../config/steering.example.yaml) has
every key with its default.

Top-level keys that begin with \`x-\` are ignored: a place for YAML anchors. A merge key, \`<<: *anchor\`, brings in the
keys of another map; a key that the map has itself overrides the merged one. \`ports set --save\` writes beside what is
merged and leaves it as it is.

Unknown keys, ports that two rules have for the same addresses and workers that do not exist are mistakes. All mistakes
are reported together, each with its place; the exit code is 3:

{{mistakes}}

## What changes live

Changes of \`steering\`, \`guard\` and \`lists\` are applied at once and atomically, under traffic, without losing a
packet. Each of these triggers a change:

- the file is saved, in place or by rename, or the link of a ConfigMap is switched;
- \`xdpsteer reload\`, or SIGHUP (\`systemctl reload xdpsteer\`);
- \`xdpsteer ports set PORT[-PORT] --worker W\` and \`ports unset\`: until the next reload or restart; with \`--save\`
  also in the file;
- \`PUT /v1/config\` on the control socket, with a file or with an answer of \`GET /v1/config\`;
- \`POST\` and \`DELETE /v1/ports\`, and \`POST /v1/reload\`, on the control socket.

A file counts when two reads 200 ms apart have found the same in it, so a save in several steps is seen whole. One that
is saved again and again without such a pause counts after 3 s as soon as it is the same for 20 ms, and after 10 s as it
is then, if it is good; the log says so. The safest way to save is to write another file and rename it.

A file that loses more than half of at least four rules may be half of what is being written, or a slip. It is put in
force when it still says so after \`control.settle\` seconds; until then the log and the status (problem
\`config_settling\`) say what it loses and how long it has to settle. \`xdpsteer reload\` and SIGHUP do not wait:
whoever asks knows that the file is complete. A reload that finds the file in force already says as which generation, by
what and since when.

The answer to \`GET /v1/config\` names the start of the process and the generation in its \`ETag\`. A program that sends
this tag back with its change, as \`If-Match\`, changes only what it has read: if another generation is active, or
xdpsteer has been restarted, the answer is 412 and nothing changes. With \`?dry_run\`, everything is checked, nothing
changes, and the answer says what would change. Both work for all that changes something: \`PUT /v1/config\`, \`POST\`
and \`DELETE /v1/ports\`, \`POST /v1/reload\`.

### A change that is taken back by itself

\`xdpsteer reload new.yaml --confirm 60s\` puts a file in force, and takes it back after that time unless
\`xdpsteer confirm\` comes: a rule that takes the port of your own tunnel locks you out for a minute, and not for good.
The same for \`ports set\` and \`ports unset\` with \`--confirm\`, and for each request that changes rules with
\`?confirm=60s\` (at most a day; \`POST /v1/confirm\` confirms). Meanwhile the status says what waits and how long
(problem \`config_unconfirmed\`).

- \`--save\` writes the file when the change is confirmed: until then a restart starts with what was before.
- Another change meanwhile is refused, unless it has \`--confirm\` too: then both are confirmed, or taken back,
  together, and the time begins anew. A file that is saved meanwhile is looked at when nothing waits any more.
  \`xdpsteer upgrade\` is refused, too.
- A save of the configured file is put in force at once by the watch, without a confirmation: give a new one another
  name, and move it to its place when it is confirmed. Without a name, \`reload\` reads the configured file; taken back,
  that stays on the disk as it is, and counts as refused until it is saved again or reloaded.
- If xdpsteer ends meanwhile, nothing is taken back: the next start reads the file.

### What a file would change

\`xdpsteer check new.yaml --against-running\` and \`xdpsteer reload --dry-run\` (which takes a file too) compare with
what is in force: what changes live, what by a handover, and what needs a restart, key by key. \`POST /v1/diff\` answers the same as JSON,
for the configuration that is sent or for that of the file. Nothing changes.

### What goes along

A capture stays with its rule: ports that \`ports set\` moves to another rule are no longer captured, and the answer
names them. If a rule only gets another name (\`--rule NEW\` for all of its ports), its capture goes along.

\`--save\` replaces the file by rename and keeps its owner, group and permissions; setuid, setgid and sticky bits are
not kept. It refuses a symbolic link.

### How a key changes

| way        | keys                                     | what happens when the file is saved                                     |
| ---------- | ---------------------------------------- | ----------------------------------------------------------------------- |
| live       | all that are in no other row             | the running process puts it in force                                    |
| handover   | {{handover}} | a new process takes over with the whole file, as in [an upgrade](operations.md#upgrade-and-rollback) |
| restart    | {{restart}} | the whole change is refused, and the answer names these keys |

The longest name of a key counts: what is in no row of its own changes as the section does that it is part of. No packet
is lost live or by a handover, and sessions stay. Where the new process does not get on with the file, the running one
goes on, and tells why. \`xdpsteer reload\`, SIGHUP and \`PUT /v1/config\` do the same as a save, but
that a request cannot change \`control\` and \`capture\`. What a handover puts
in force cannot be taken back by itself: \`--confirm\` refuses it.

After a refused change the previous configuration stays in effect; the log, \`xdpsteer status\` and \`xdpsteer_config_last_reload_successful\` report it.
A restart reads the file; if it is not valid, the restart uses
[the last good configuration](operations.md#the-last-good-configuration-is-in-force). A configuration has at most 4,096
rules, and 1,024 different backends in all of them.

Counters belong to the name of a rule. A rule with other ports, another worker or another action keeps counting; under
another name it counts from zero. The counts of a removed rule stay in /metrics until their place is needed; then they
are added to the rule \`(retired)\`.

## Keys

{{keys}}

## Worked examples

{{examples}}
`;

export const METRICS_PAGE = `# Metrics

${MADE}

\`GET /metrics\` on the control socket and on \`control.http\` returns the metrics in the Prometheus text format. No
packet is counted twice, and no counter decreases while the process lives. Every packet can be followed:

- packets seen by the XDP program = the sum over \`xdpsteer_xdp_packets_total\`;
- those with the verdict \`redirect\` = packets received by workers + {{lost}} of \`xdpsteer_xsk_drops_total\`;
- packets received by workers = the sum over the fates of \`xdpsteer_rule_packets_total\`, without the worker \`xdp\`.

A rule has samples from its first packet on. What backends answer counts with the rule whose session it belongs to, with
\`direction="back"\`, and so do ICMP errors about packets to backends. Names in parentheses are not rules of the
configuration: \`(translation ports)\` counts what arrives at the translation ports of forwarding and belongs to no
session, or whose session was not looked for (fragments, \`wrong_interface\`), and \`(retired)\` has the counts of rules
that were removed long ago. \`/v1/status\` has the first as \`translationPorts\`, beside \`rules\`. The rule with an
empty name has the packets whose port no longer had a rule when a worker saw them.

[prometheus.example.yaml](../config/prometheus.example.yaml) scrapes the metrics.
[prometheus-alerts.yaml](../config/prometheus-alerts.yaml) has alerts, each with its section in
[operations.md](operations.md). [grafana-dashboard.json](../config/grafana-dashboard.json) is a dashboard to import into
Grafana.

## Metrics

{{metrics}}

## Reasons and verdicts of the XDP program

{{reasons}}

## Counters of a socket

{{socketCounters}}

## Fates

Every packet that reaches a worker has one fate. A rule's packets that end in the XDP program have the fate
{{kernelFates}}, with \`worker="xdp"\`. A packet with a served fate got what its rule asks for; all others were dropped.
The action \`answer\` is the action of the translation ports.

{{fates}}
`;
