/**
 * Shell completions, made from the definition of the commands: whatever `--help` shows can be completed.
 *
 * @module
 */
import type { Argument, Command, Option } from "commander";

export type Shell = "bash" | "zsh" | "fish";

/** What a value can be completed with. */
type Values =
  | { readonly kind: "words"; readonly words: readonly string[] }
  | { readonly kind: "files" | "interfaces" | "anything" };

interface Flag {
  readonly names: readonly string[];
  readonly description: string;
  /** Undefined for a flag that takes none. */
  readonly values: Values | undefined;
}

/** A command, flattened: `ports set` is one. */
interface Entry {
  /** Words that lead to it; none for the program itself. */
  readonly path: readonly string[];
  readonly commands: readonly { readonly name: string; readonly description: string }[];
  readonly flags: readonly Flag[];
  readonly values: Values;
}

/** The script for a shell. */
export function completions(program: Command, shell: Shell): string {
  const all = entries(program, []);
  return (shell === "bash" ? bash(all) : shell === "zsh" ? zsh(all) : fish(all)).trimEnd();
}

function entries(command: Command, path: readonly string[]): Entry[] {
  const help = command.createHelp();
  const commands = help.visibleCommands(command);
  const own: Entry = {
    path,
    commands: commands.map((sub) => ({ name: sub.name(), description: sub.description() })),
    flags: help.visibleOptions(command).map(flagOf),
    values: command.registeredArguments.map(valuesOf)[0] ?? { kind: "words", words: [] },
  };
  const below = commands.filter((sub) => command.commands.includes(sub));
  return [own, ...below.flatMap((sub) => entries(sub, [...path, sub.name()]))];
}

function flagOf(option: Option): Flag {
  const names = [option.short, option.long].filter((name) => typeof name === "string");
  return {
    names,
    description: option.description,
    values: option.required || option.optional ? valuesOf(option) : undefined,
  };
}

function valuesOf(item: Option | Argument): Values {
  if (item.argChoices !== undefined) return { kind: "words", words: item.argChoices };
  const placeholder = "flags" in item ? item.flags : `<${item.name()}>`;
  if (/<(file|path)>/.test(placeholder)) return { kind: "files" };
  return { kind: placeholder.includes("--interface") ? "interfaces" : "anything" };
}

const words = (list: readonly string[]): string => list.join(" ");

/** The function is given the words of the line; it finds the command among them and offers what may follow. */
function bash(all: readonly Entry[]): string {
  const reply = (values: Values): string => {
    if (values.kind === "files") return 'COMPREPLY=($(compgen -f -- "$word"))';
    if (values.kind === "anything") return "COMPREPLY=()";
    const list = values.kind === "words" ? `'${words(values.words)}'` : '"$(command ls /sys/class/net)"';
    return `COMPREPLY=($(compgen -W ${list} -- "$word"))`;
  };
  const takesValue = [
    ...new Set(
      all.flatMap(({ flags }) => flags).filter(({ values }) => values !== undefined)
        .flatMap(({ names }) => names),
    ),
  ];
  const after = all.flatMap(({ path, flags }) =>
    flags.flatMap(({ names, values }) =>
      values === undefined
        ? []
        : [`    ${names.map((name) => `'${words(path)}:${name}'`).join("|")}) ${reply(values)}; return ;;`]
    )
  );
  const plain = all.map(({ path, commands, flags, values }) => {
    const names = words(flags.flatMap((flag) => flag.names));
    const positional: Values = commands.length > 0
      ? { kind: "words", words: commands.map(({ name }) => name) }
      : values;
    return `    '${words(path)}') if [[ $word == -* ]]; then COMPREPLY=($(compgen -W '${names}' -- "$word")); else ${
      reply(positional)
    }; fi ;;`;
  });
  const known = all.filter(({ path }) => path.length > 0).map(({ path }) => `'${words(path)}'`);
  return `# bash completion for xdpsteer
_xdpsteer() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} path= next i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
      ${takesValue.join("|")}) ((i++)); continue ;;
      -*) continue ;;
    esac
    next="\${path:+$path }\${COMP_WORDS[i]}"
    case $next in ${known.join("|")}) path=$next ;; esac
  done
  case "$path:$before" in
${after.join("\n")}
  esac
  case "$path" in
${plain.join("\n")}
  esac
}
complete -o filenames -F _xdpsteer xdpsteer
`;
}

/** In single quotes, for both zsh and fish. */
const quoted = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", `'\\''`)}'`;

/** One function for each command, by _arguments. */
function zsh(all: readonly Entry[]): string {
  const escape = (text: string): string => text.replaceAll(/[[\]:\\]/g, "\\$&");
  const action = (values: Values): string => {
    switch (values.kind) {
      case "files":
        return "_files";
      case "interfaces":
        return "_net_interfaces";
      case "words":
        return `(${words(values.words)})`;
      case "anything":
        return " ";
    }
  };
  const functionOf = (path: readonly string[]): string => ["_xdpsteer", ...path].join("_");
  const functions = all.map(({ path, commands, flags, values }) => {
    const specs = flags.map(({ names, description, values: value }) => {
      const group = names.length > 1 ? `(${words(names)})` : "";
      const takes = value === undefined ? "" : `:value:${action(value)}`;
      return names.map((name) => `    ${quoted(`${group}${name}[${escape(description)}]${takes}`)}`).join(" \\\n");
    });
    if (commands.length === 0) {
      const empty = values.kind === "words" && values.words.length === 0;
      const rest = empty ? [] : [`    ${quoted(`1:value:${action(values)}`)}`];
      return `${functionOf(path)}() {\n  _arguments -s \\\n${[...specs, ...rest].join(" \\\n")}\n}\n`;
    }
    const list = commands.map(({ name, description }) => `      ${quoted(`${name}:${description}`)}`);
    const cases = commands.filter(({ name }) => all.some((entry) => words(entry.path) === words([...path, name])))
      .map(({ name }) => `        ${name}) ${functionOf([...path, name])} ;;`);
    return `${functionOf(path)}() {
  local line state
  _arguments -C -s \\
${specs.join(" \\\n")} \\
    '1:command:->command' '*::argument:->argument'
  case $state in
    command)
      local -a commands=(
${list.join("\n")}
      )
      _describe command commands ;;
    argument)
      case $line[1] in
${cases.join("\n")}
      esac ;;
  esac
}
`;
  });
  // Found in the function path it completes at once; read by source it has to be made known.
  return `#compdef xdpsteer\n\n${functions.reverse().join("\n")}
if [ "$funcstack[1]" = _xdpsteer ]; then _xdpsteer "$@"; else compdef _xdpsteer xdpsteer; fi
`;
}

/** A line for each thing that can be completed, with the condition under which it can. */
function fish(all: readonly Entry[]): string {
  const text = (value: string): string => `'${value.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const lines = all.flatMap(({ path, commands, flags, values }) => {
    const below = commands.map(({ name }) => name);
    // Inside a command, and not yet inside one of its own.
    const seen = path.map((word) => `__fish_seen_subcommand_from ${word}`);
    const notBelow = below.length > 0 ? [`not __fish_seen_subcommand_from ${words(below)}`] : [];
    const condition = [...seen, ...notBelow].join("; and ");
    const start = `complete -c xdpsteer${condition === "" ? "" : ` -n ${text(condition)}`}`;
    return [
      ...commands.map(({ name, description }) => `${start} -f -a ${text(name)} -d ${text(description)}`),
      ...flags.map(({ names, description, values: value }) => {
        const flag = names.map((name) => name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`);
        return `${start} ${flag.join(" ")} -d ${text(description)}${value === undefined ? "" : ` ${takes(value)}`}`;
      }),
      ...(values.kind === "words" && values.words.length > 0 ? [`${start} -f -a ${text(words(values.words))}`] : []),
      ...(values.kind === "files" ? [`${start} -F`] : []),
    ];
  });
  return ["# fish completion for xdpsteer", "complete -c xdpsteer -f", ...lines, ""].join("\n");
}

function takes(values: Values): string {
  switch (values.kind) {
    case "files":
      return "-r -F";
    case "interfaces":
      return "-x -a '(command ls /sys/class/net)'";
    case "words":
      return `-x -a '${words(values.words)}'`;
    case "anything":
      return "-x";
  }
}
