/**
 * What docs/configuration.md and docs/metrics.md say beyond what the code knows: their frames, and the examples.
 * gen_config_docs.ts parses every example.
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
  "steering[].worker": "0",
  "steering[].action": "echo",
  "steering[].capture": "/var/lib/xdpsteer/game.pcapng",
  "control.socket": "/run/xdpsteer/edge.sock",
  "control.group": "netops",
  "control.http": '"[::1]:9469"',
  "log.level": "warn",
  "log.format": "json",
};

/** The values of keys whose schema is a pattern, in words. */
export const KEY_VALUES: Readonly<Record<string, string>> = {
  "interfaces[].name": "the name of an interface",
  "steering[].name": "a name",
  "steering[].ports": "a port, a range in quotes, or a list of these",
  "steering[].capture": "a path, or a map with `file`, `snap`, `sample`, `rotate`",
  "steering[].capture.file": "a path",
  "steering[].capture.rotate.size": "a number of bytes, with `KiB`, `MiB`, `GiB` or `TiB` after it or nothing",
  "control.socket": "an absolute path",
  "control.group": "`none`, the name of a group, or its number",
  "control.http": "`off`, or a loopback address and a port",
};

/** Whole files for common cases. */
export const EXAMPLES: readonly { readonly title: string; readonly text: string; readonly yaml: string }[] = [
  {
    title: "The least there can be",
    text: "One interface, one rule. Its packets are spread over a worker for each CPU, counted and discarded.",
    yaml: `
version: 1
interfaces: [{ name: eth0 }]
steering:
  - { name: telemetry, ports: 9090 }
`,
  },
  {
    title: "A game server's edge",
    text:
      "Two workers with a CPU each, one for each game; well-known amplifiers are dropped at the driver. CPUs 0 and 1 are " +
      "left to the kernel stack and to xdpsteer's control thread.",
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
    text:
      "More packet memory and longer rings hold a longer burst, at `chunks` x `chunk_size` bytes a queue (here 64 MiB): " +
      "a ring of 16,384 entries holds what arrives in 16 ms at a million packets a second. The fill ring is as large as " +
      "the number of chunks, so that none has to wait outside of it.",
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
    text: "A packet has to fit one chunk: with 4096 bytes, an MTU of up to 3826.",
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
    title: "The least latency",
    text: "A busy worker never sleeps: it uses all of its CPU, which nothing else should run on.",
    yaml: `
version: 1
interfaces: [{ name: eth0 }]
workers: { cpus: [3], wait: busy }
steering:
  - { name: game, ports: 7777, worker: 0, action: echo }
`,
  },
  {
    title: "Two interfaces, and a group that may look and change",
    text: "The rules hold for both. Members of `netops` need no root for `xdpsteer status`, `top` and `ports`.",
    yaml: `
version: 1
interfaces:
  - { name: eth0 }
  - { name: eth1, queues: [0, 1] }
workers: { count: 2 }
steering:
  - { name: dns, ports: 53, worker: hash, action: pass } # counted, and left to the kernel stack
  - { name: voip, ports: "10000-10999", worker: 1 }
control: { group: netops, http: 127.0.0.1:9470 }
log: { format: json }
`,
  },
];

/** A file with mistakes, to show what is said of them. */
export const MISTAKES = `version: 1
interfaces:
  - { name: eth0, atach: native }
workers: { count: 2 }
steering:
  - { name: game, ports: "27015-27030", worker: 2 }
  - { name: voice, ports: 27020 }
`;

const MADE =
  "<!-- Made by scripts/gen_config_docs.ts from src/config/schema.ts, src/observe/metric_families.ts, src/observe/vocabulary.ts and " +
  "scripts/config_docs_text.ts: change these, and run scripts/dev schema. -->";

export const CONFIG_PAGE = `# Configuration

${MADE}

One YAML file of at most 1 MiB, by default \`/etc/xdpsteer/steering.yaml\`. \`xdpsteer check --config FILE\` says what is
wrong with it, or what it means, and changes nothing. A first line
\`# yaml-language-server: $schema=./steering.schema.json\` gives editors completion
([steering.schema.json](../config/steering.schema.json)); [steering.example.yaml](../config/steering.example.yaml) has
every key with its default. It has to be a regular file, or a link to one: anything else, such as a FIFO, is refused
without waiting for it.

Keys that do not exist are mistakes, and so are a port in two rules and a worker that does not exist. All mistakes are
told at once, each with its place; the exit code is 3:

{{mistakes}}

## What changes live

\`steering\` changes while packets flow, atomically, and no packet is lost. The change begins with any of these:

- the file is saved, in place or by rename, or a ConfigMap's link is swapped;
- \`xdpsteer reload\`, or SIGHUP (\`systemctl reload xdpsteer\`);
- \`xdpsteer ports set PORT[-PORT] --worker W\` and \`ports unset\`: without \`--save\` until the next reload or restart,
  with it in the file too;
- \`PUT /v1/config\` on the control socket, with a file or with what \`GET /v1/config\` answered;
- \`POST\` and \`DELETE /v1/ports\` there.

Programs put back what they read: the answer to GET has the generation as its \`ETag\`. A change with \`If-Match\` and that
tag is made only while the generation is in force, and is answered by 412 otherwise. With \`?dry_run\` everything is checked,
and the answer says what would change.

\`--save\` replaces the file by rename and keeps its owner, group and permissions; setuid, setgid and sticky bits are not
kept. It refuses a symbolic link.

There may be 4,096 rules. {{fixed}} need a restart. Where one of them differs the whole change is refused, and nothing of it is applied. A refused
change leaves the configuration before it in force; log, \`xdpsteer status\` and
\`xdpsteer_config_last_reload_successful\` tell. A restart takes what is in the file: keep it valid.

A rule's counters go by its name. A rule that gets other ports, another worker or another action goes on counting; under
another name it counts from zero. What a rule that is gone has counted stays in /metrics until its place is needed, then
under the rule \`(retired)\`.

## Keys

{{keys}}

## Worked examples

{{examples}}
`;

export const METRICS_PAGE = `# Metrics

${MADE}

\`GET /metrics\`, on the control socket and on \`control.http\`, in the Prometheus text format. Nothing is counted twice,
and no counter goes back while the process lives. Every packet can be followed:

- seen by the XDP program = the sum over \`xdpsteer_xdp_packets_total\`;
- of these, verdict redirect = received by workers + {{lost}} of \`xdpsteer_xsk_drops_total\`;
- received by workers = the sum over the fates of \`xdpsteer_rule_packets_total\`, worker \`xdp\` left out.

Samples of a rule appear with its first packet. Names in parentheses are no rules of the configuration: \`(answers)\` has
what came to the translation ports of forwarding, which is backends' answers, and \`(retired)\` the counts of rules that are
long gone. The rule with an empty name has the packets whose port had no rule any more when a worker saw them.

[prometheus.example.yaml](../config/prometheus.example.yaml) scrapes it,
[prometheus-alerts.yaml](../config/prometheus-alerts.yaml) has alerts, each with its section in
[operations.md](operations.md), and [grafana-dashboard.json](../config/grafana-dashboard.json) is for import into
Grafana.

## Metrics

{{metrics}}

## Reasons and verdicts of the XDP program

{{reasons}}

## Counters of a socket

{{socketCounters}}

## Fates

What became of packets that reached a worker. A rule's packets that end in the XDP program are {{kernelFates}}, with
\`worker="xdp"\`. Served: the packet got what its rule asks
for. All others were dropped. The action \`answer\` is that of the translation ports.

{{fates}}
`;

/** What has to stand beside a key for it to be allowed. */
export const COMPANIONS: Readonly<Record<string, readonly string[]>> = {
  "steering[].action.forward.remap_port": ["mode: dsr"],
};
