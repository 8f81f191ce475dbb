/**
 * The parts of docs/configuration.md and docs/metrics.md that do not come from the code: their frames, and the
 * examples. gen_config_docs.ts parses every example.
 *
 * @module
 */

/** An example value for each key, as YAML in one line. */
export const KEY_EXAMPLES: Readonly<Record<string, string>> = {
  "version": "1",
  "interfaces[].name": "eth0",
  "interfaces[].attach": "native",
  "interfaces[].zero_copy": "require",
  "interfaces[].queues": "[0, 1]",
  "interfaces[].umem.chunks": "16384",
  "interfaces[].umem.chunk_size": "4096",
  "interfaces[].umem.headroom": "128",
  "interfaces[].rings.rx": "8192",
  "interfaces[].rings.tx": "4096",
  "interfaces[].rings.fill": "16384",
  "interfaces[].rings.completion": "4096",
  "workers.count": "2",
  "workers.cpus": "[2, 3]",
  "workers.wait": "busy",
  "steering[].name": "game",
  "steering[].ports": '[7777, "27015-27030"]',
  "steering[].addresses": '[192.0.2.10, "2001:db8::/64"]',
  "steering[].worker": "0",
  "steering[].action": "echo",
  "steering[].action.forward.to[].max_sessions": "20000",
  "steering[].action.forward.to[].srv": "_game._udp.example.com",
  "forwarding.name_servers": '["10.0.0.53", "10.0.0.54:8600"]',
  "steering[].action.forward.to[].backup": "true",
  "steering[].action.forward.affinity": "none",
  "steering[].action.forward.answers": "1",
  "steering[].action.forward.slow_start": "30s",
  "steering[].action.forward.health.name": "www.example.com",
  "steering[].action.forward.fail_open": '"50%"',
  "steering[].action.forward.health.expect": '{ hex: "ff ff ff ff 49" }',
  "steering[].action.forward.to[].drain": "true",
  "steering[].action.deliver.port": "5353",
  "steering[].fragments": "pass",
  "steering[].sources.allow": "[192.0.2.0/24]",
  "steering[].sources.deny": '[192.0.2.66, "2001:db8:bad::/48"]',
  "guard.allow": "[198.51.100.0/24]",
  "guard.deny": "[203.0.113.0/24]",
  "lists[].name": "customers",
  "lists[].entries": '[198.51.100.0/24, "2001:db8::/32"]',
  "lists[].file": "/etc/xdpsteer/customers.txt",
  "lists[].url": "https://lists.example.net/customers.txt",
  "steering[].capture": "/var/lib/xdpsteer/game.pcapng",
  "forwarding.addresses": '[192.0.2.10, 192.0.2.11, "2001:db8::10"]',
  "capture.directory": "/srv/captures",
  "control.socket": "/run/xdpsteer/edge.sock",
  "control.group": "netops",
  "control.http": '"[::1]:9469"',
  "control.settle": "0",
  "log.level": "warn",
  "log.format": "json",
};

/** The values of keys whose schema is a pattern, in words. */
export const KEY_VALUES: Readonly<Record<string, string>> = {
  "interfaces[].name": "the name of an interface",
  "steering[].name": "a name",
  "steering[].ports": "a port, a range in quotes, or a list of these",
  "steering[].addresses": "`own`, `any`, an address or a prefix, or a list of these",
  "steering[].limit.per_source.packets": "a number with `/s` after it, or `k/s`, `M/s`",
  "steering[].limit.per_source.bytes":
    "a number with `B/s` after it, or `kB/s`, `MB/s`, `GB/s`, `KiB/s`, `MiB/s`, `GiB/s`",
  "steering[].limit.per_source.burst_bytes": "a number of bytes, or one with `kB`, `MB`, `KiB` or `MiB` after it",
  "steering[].limit.total.packets": "a number with `/s` after it, or `k/s`, `M/s`",
  "steering[].limit.total.bytes": "a number with `B/s` after it, or `kB/s`, `MB/s`, `GB/s`, `KiB/s`, `MiB/s`, `GiB/s`",
  "steering[].limit.total.burst_bytes": "a number of bytes, or one with `kB`, `MB`, `KiB` or `MiB` after it",
  "steering[].limit.ban": "a number of seconds, or one with `s`, `m`, `h` or `d` after it",
  "steering[].action.forward.to[].drain": "true or false",
  "steering[].capture": "a path, or a map with `file`, `snap`, `sample`, `rotate`",
  "steering[].capture.file": "a path",
  "steering[].capture.rotate.size": "a number of bytes, with `KiB`, `MiB`, `GiB` or `TiB` after it or nothing",
  "steering[].action.forward.passive.within": "a number of seconds, or one with `s`, `m` or `h` after it",
  "steering[].action.forward.passive.pause": "a number of seconds, or one with `s`, `m` or `h` after it",
  "steering[].action.forward.health.name": "a name",
  "steering[].action.forward.slow_start": "a number of seconds, or one with `s`, `m` or `h` after it",
  "steering[].action.forward.fail_open": "a percentage like `50%`",
  "steering[].action.forward.health.send": "text, or a map with `hex` or `base64`",
  "steering[].action.forward.health.expect": "text, or a map with `hex` or `base64`",
  "steering[].action.forward.health.send.hex": "hex digits, two a byte",
  "steering[].action.forward.health.expect.hex": "hex digits, two a byte",
  "steering[].action.forward.health.send.base64": "base64",
  "steering[].action.forward.health.expect.base64": "base64",
  "steering[].sources.allow": "a list of prefixes, addresses and names of lists",
  "steering[].sources.deny": "a list of prefixes, addresses and names of lists",
  "guard.allow": "a list of prefixes, addresses and names of lists",
  "guard.deny": "a list of prefixes, addresses and names of lists",
  "lists[].name": "a name",
  "lists[].entries": "a list of prefixes, addresses and names of lists",
  "lists[].file": "an absolute path",
  "lists[].url": "an address that begins with `https://` or `http://`",
  "capture.directory": "an absolute path",
  "control.socket": "an absolute path",
  "forwarding.addresses": "a list of IP addresses",
  "forwarding.name_servers": "a list of addresses, each with a port or without",
  "control.group": "`none`, the name of a group, or its number",
  "control.http": "`off`, or a loopback address and a port",
};

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
  "src/observe/vocabulary.ts or scripts/config_docs_text.ts, and run scripts/dev schema. -->";

export const CONFIG_PAGE = `# Configuration

${MADE}

The configuration is one YAML file of at most 1 MiB, by default \`/etc/xdpsteer/steering.yaml\`. It must be a regular
file or a link to one; xdpsteer refuses anything else, such as a FIFO, without waiting for it, and a file with more than
200,000 values, commas, colons and brackets: all ports one by one in a thousand rules are 150,000. \`xdpsteer check FILE\`
reports the mistakes in a file, or what it means, and changes nothing. With a first line
\`# yaml-language-server: $schema=./steering.schema.json\`, editors offer completion
([steering.schema.json](../config/steering.schema.json)). [steering.example.yaml](../config/steering.example.yaml) has
every key with its default.

Top-level keys that begin with \`x-\` are ignored: a place for YAML anchors. A merge key, \`<<: *anchor\`, brings in the keys
of another map; a key that the map has itself overrides the merged one. \`ports set --save\` writes beside what is merged
and leaves it as it is.

Unknown keys, ports that are in two rules and workers that do not exist are mistakes. All mistakes are reported
together, each with its place; the exit code is 3:

{{mistakes}}

## What changes live

Changes of \`steering\` are applied at once and atomically, under traffic, without losing a packet. Each of these
triggers a change:

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
\`config_settling\`) say what it loses and how long it has to settle. \`xdpsteer reload\` and SIGHUP do not wait: whoever
asks knows that the file is complete. A reload that finds the file in force already says as which generation, by what
and since when.

The answer to \`GET /v1/config\` names the start of the process and the generation in its \`ETag\`. A program that sends
this tag back with its change, as \`If-Match\`, changes only what it has read: if another generation is active, or xdpsteer
has been restarted, the answer is 412 and nothing changes. With \`?dry_run\`, everything is checked, nothing changes, and
the answer says what would change. Both work for all that changes something: \`PUT /v1/config\`, \`POST\` and
\`DELETE /v1/ports\`, \`POST /v1/reload\`.

A capture stays with its rule: ports that \`ports set\` moves to another rule are no longer captured, and the answer names
them. If a rule only gets another name (\`--rule NEW\` for all of its ports), its capture goes along.

\`--save\` replaces the file by rename and keeps its owner, group and permissions; setuid, setgid and sticky bits are
not kept. It refuses a symbolic link.

{{fixed}} need a restart, all but {{live}}. If one of them differs, the whole change is refused, and nothing of it is applied. After a
refused change the previous configuration stays in effect; the log, \`xdpsteer status\` and
\`xdpsteer_config_last_reload_successful\` report it. A restart reads the file; if it is not valid, the restart uses
[the last good configuration](operations.md#the-last-good-configuration-is-in-force). A configuration has at
most 4,096 rules, and 1,024 different backends in all of them.

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

A rule has samples from its first packet on. Names in parentheses are not rules of the configuration: \`(answers)\` counts
what arrives at the translation ports of forwarding, that is, answers of backends, and \`(retired)\` has the counts of rules
that were removed long ago. \`/v1/status\` has the first as \`answers\`, beside \`rules\`. The rule with an empty name has the packets whose port no longer had a rule when a worker saw them.

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

Every packet that reaches a worker has one fate. A rule's packets that end in the XDP program have the fate {{kernelFates}},
with \`worker="xdp"\`. A packet with a served fate got what its rule asks for; all others were dropped. The action
\`answer\` is the action of the translation ports.

{{fates}}
`;

/** What a key needs beside it to be allowed. */
export const COMPANIONS: Readonly<Record<string, readonly string[]>> = {
  "steering[].action.forward.remap_port": ["mode: dsr"],
  "steering[].action.forward.tunnel": ["mode: dsr"],
  "steering[].action.forward.to[].weight": ['address: "10.0.0.11:9000"'],
  "steering[].action.forward.to[].max_sessions": ['address: "10.0.0.11:9000"'],
  "steering[].action.forward.to[].backup": ['address: "10.0.0.11:9000"'],
  "steering[].action.forward.to[].drain": ['address: "10.0.0.11:9000"'],
  "steering[].limit.per_source.burst": ["packets: 500/s"],
  "steering[].limit.per_source.burst_bytes": ["bytes: 1MB/s"],
  "steering[].limit.total.burst": ["packets: 200k/s"],
  "steering[].limit.total.burst_bytes": ["bytes: 100MB/s"],
  "steering[].limit.ipv4_prefix": ["per_source: { packets: 500/s }"],
  "steering[].limit.ipv6_prefix": ["per_source: { packets: 500/s }"],
  "steering[].limit.ban": ["per_source: { packets: 500/s }"],
  "steering[].limit.mode": ["per_source: { packets: 500/s }"],
  "lists[].name": ["entries: []"],
  "lists[].interval": ["url: https://lists.example.net/customers.txt"],
  "lists[].on_bad_line": ["file: /etc/xdpsteer/customers.txt"],
};
