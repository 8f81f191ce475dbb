/**
 * What operators, editors and full disks make of a configuration file.
 *
 * @module
 */

export interface BadConfig {
  readonly what: string;
  readonly content: string | Uint8Array;
  /** What the refusal must say. */
  readonly says: RegExp;
}

/**
 * Broken versions of a good file, each refused for another reason. The good one must have a rule `game` for port 8080.
 */
export function badConfigs(good: string): BadConfig[] {
  const edit = (from: string, to: string): string => {
    if (!good.includes(from)) throw new Error(`"${from}" is not in the configuration`);
    return good.replace(from, to);
  };
  const addRule = (...rules: readonly string[]): string =>
    edit("steering:\n", `steering:\n${rules.map((rule) => `  - ${rule}\n`).join("")}`);
  const at = String.raw`:\d+:\d+: `;
  const located = (message: string): RegExp => new RegExp(`${at}${message}`);
  return [
    { what: "an unknown section", content: `${good}metrics: on\n`, says: located('unknown key "metrics"') },
    {
      what: "a mistyped key",
      content: edit("ports: 8080", "prots: 8080"),
      says: located('unknown key "prots": did you mean "ports"'),
    },
    {
      what: "overlapping ports",
      content: addRule('{ name: all, ports: "8000-9000" }'),
      says: located('port 8080 of rule "game" is already in rule "all"'),
    },
    {
      what: "port 70000",
      content: edit("ports: 8080", "ports: 70000"),
      says: located("port 70000 is out of range: expected 1 to 65535"),
    },
    { what: "port 0", content: edit("ports: 8080", "ports: 0"), says: located("port 0 is out of range") },
    {
      what: "a range that runs backwards",
      content: edit("ports: 8080", 'ports: "90-80"'),
      says: located('port range "90-80" runs backwards: expected "80-90"'),
    },
    { what: "a tab", content: `${good}more:\n\t- a\n`, says: located("a tab is used for indentation") },
    { what: "an open bracket", content: addRule("{ name: open, ports: [1, 2"), says: located(".*not closed") },
    { what: "a file cut short", content: good.slice(0, good.indexOf("8080")), says: located("") },
    { what: "an empty file", content: "", says: /the file is empty/ },
    { what: "comments only", content: "# nothing here\n\n", says: /the file is empty/ },
    { what: "a binary file", content: Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0), says: /is not text/ },
    { what: "Latin-1", content: Uint8Array.of(0x6e, 0xe4, 0x6d, 0x65), says: /is not text \(byte 0xe4 at offset 1\)/ },
    {
      what: "a large file",
      content: new Uint8Array(10_000_000).fill(0x23),
      says: /the file is 10\.0 MB: expected at most 1 MiB/,
    },
    {
      what: "a worker that does not exist",
      content: addRule("{ name: nobody, ports: 1, worker: 7 }"),
      says: located("worker 7 does not exist: expected 0 to"),
    },
    {
      what: "an unknown action",
      content: addRule("{ name: odd, ports: 1, action: bounce }"),
      says: located('action "bounce" is not known: expected one of: pass, drop, count, '),
    },
    {
      what: "a rule name used twice",
      content: addRule("{ name: game, ports: 1 }"),
      says: located('rule name "game" is used twice'),
    },
    { what: "a rule without ports", content: addRule("{ name: bare }"), says: located('missing key "ports"') },
    { what: "a key twice", content: `${good}version: 1\n`, says: located("") },
    { what: "another version", content: edit("version: 1", "version: 2"), says: located("version 2 is not supported") },
    {
      what: "no interface",
      content: good.replace(/interfaces:\n.*\n/, "interfaces: []\n"),
      says: located("interfaces is"),
    },
    {
      what: "more backends than there is room for",
      content: addRule(
        ...Array.from({ length: 5 }, (_, rule) => {
          const to = Array.from({ length: 220 }, (_, index) => `"10.0.${rule}.${index + 1}:53"`).join(", ");
          return `{ name: f${rule}, ports: ${rule + 1}, action: { forward: { to: [${to}] } } }`;
        }),
      ),
      says: located("backend number 1025 of all rules: expected at most 1024 different ones"),
    },
    { what: "a list", content: "- version: 1\n", says: /expected a map with version, interfaces and steering/ },
  ];
}
