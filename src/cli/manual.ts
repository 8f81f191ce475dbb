/**
 * The manual page xdpsteer(8), made from the definition of the commands: it says what `--help` says.
 *
 * @module
 */
import type { Command, Option } from "commander";
import { ABOUT, ENVIRONMENT, SUMMARY } from "./about.ts";

/** The whole page in roff. The same for the same program: no date, no version. */
export function manual(program: Command): string {
  return [
    '.\\" Made by "xdpsteer man" from the program\'s own help.',
    '.TH XDPSTEER 8 "" "xdpsteer" "System Administration"',
    ".SH NAME",
    `xdpsteer \\- ${line(SUMMARY)}`,
    ".SH SYNOPSIS",
    ".B xdpsteer",
    ".I command",
    ".RI [ options ]",
    ".SH DESCRIPTION",
    ...paragraphs(ABOUT),
    ".SH COMMANDS",
    ...commands(program, []),
    ...FIXED_PART,
  ].join("\n");
}

const FIXED_PART = [
  ".SH EXIT STATUS",
  "0: done. 1: failed. 2: wrong usage. 3: the configuration is not valid.",
  ".SH ENVIRONMENT",
  ...Object.entries(ENVIRONMENT).flatMap(([name, text]) => [".TP", `.B ${name}`, line(text)]),
  ".SH FILES",
  ".TP",
  ".I /etc/xdpsteer/steering.yaml",
  "Which port goes where.",
  ".TP",
  ".I /usr/share/doc/xdpsteer/examples/steering.example.yaml",
  "Every key of it, with comments.",
  ".TP",
  ".I /run/xdpsteer/control.sock",
  "The control API; metrics, health, status and dashboard are on 127.0.0.1:9469 too.",
  ".SH EXAMPLES",
  "A configuration:",
  ".PP",
  ".nf",
  "version: 1",
  "interfaces: [{ name: eth0 }]",
  "workers: { count: 2 }",
  "steering:",
  '  \\- { name: game, ports: [7777, "27015\\-27030"], worker: 0, action: echo }',
  "  \\- { name: telemetry, ports: 9090, worker: 1 }",
  ".fi",
  ".PP",
  "Give a port to another worker while packets flow, and keep that in the file:",
  ".PP",
  ".nf",
  "xdpsteer ports set 9090 \\-\\-worker 0 \\-\\-save",
  ".fi",
  ".SH SEE ALSO",
  ".BR ip\\-link (8),",
  ".BR ethtool (8),",
  ".BR systemctl (1)",
];

/** A command, then those below it. Of a group only these. */
function commands(parent: Command, path: readonly string[]): string[] {
  return parent.createHelp().visibleCommands(parent).filter((command) => parent.commands.includes(command))
    .flatMap((command) => {
      const words = [...path, command.name()];
      return command.commands.length > 0 ? commands(command, words) : one(command, words);
    });
}

function one(command: Command, words: readonly string[]): string[] {
  const operands = command.registeredArguments.map((argument) => ` \\fI${escape(argument.name())}\\fR`).join("");
  const help = command.createHelp();
  return [
    ".SS",
    `\\fB${escape(words.join(" "))}\\fR${operands} [\\fIoptions\\fR]`,
    ...paragraphs([`${sentence(command.description())}.`]),
    ...command.registeredArguments.flatMap((argument) => [
      ".TP",
      `\\fI${escape(argument.name())}\\fR`,
      line(`${sentence(help.argumentDescription(argument))}.`),
    ]),
    ...help.visibleOptions(command).filter(({ long }) => long !== "--help").flatMap((option) => [
      ".TP",
      flags(option),
      line(`${sentence(help.optionDescription(option))}.`),
    ]),
  ];
}

/** `-c, --config <file>`: names bold, the value in italics. */
function flags({ short, long, flags: text }: Option): string {
  const names = [short, long].filter((name) => typeof name === "string").map((name) => `\\fB${escape(name)}\\fR`);
  const value = /<(.+)>/.exec(text)?.[1];
  return `${names.join(", ")}${value === undefined ? "" : ` \\fI${escape(value)}\\fR`}`;
}

function paragraphs(texts: readonly string[]): string[] {
  return texts.flatMap((text, index) => [...(index > 0 ? [".PP"] : []), line(text)]);
}

/** Text that may stand on a line of its own: what begins with a dot or quote would be a request. */
function line(text: string): string {
  return /^[.']/.test(text) ? `\\&${escape(text)}` : escape(text);
}

function escape(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-");
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
