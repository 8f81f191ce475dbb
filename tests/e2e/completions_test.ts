import assert from "node:assert/strict";
import { PLAIN_ACTIONS } from "../../src/steering/action.ts";
import { TestNetwork } from "../support/netns.ts";
import { finish, type Finished, productCommand, TempDir } from "./support/command.ts";

function xdpsteer(network: TestNetwork, ...words: string[]): Promise<Finished> {
  return finish(network, [...productCommand(), ...words]);
}

/** Runs a program outside of the product to its end. @returns what it printed. */
async function shell(program: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args, env: { TERM: "dumb" } }).output();
  const decoder = new TextDecoder();
  assert.ok(success, `${program}: ${decoder.decode(stderr)}`);
  return decoder.decode(stdout) + decoder.decode(stderr);
}

/** The script for a shell in a file. */
async function completionsFor(network: TestNetwork, name: string, directory: string): Promise<string> {
  const { code, stdout, stderr } = await xdpsteer(network, "completions", name);
  assert.equal(code, 0, stderr);
  await Deno.writeTextFile(`${directory}/${name}`, stdout);
  return `${directory}/${name}`;
}

/** What a shell is to offer after each line, sorted. Interfaces are those of the namespace the test itself is in. */
async function expectedOffers(): Promise<readonly (readonly [line: string, offers: readonly string[]])[]> {
  const interfaces = (await Array.fromAsync(Deno.readDir("/sys/class/net"))).filter(({ isFile }) => !isFile);
  return [
    ["xdpsteer ports ", ["help", "list", "set", "unset"]],
    ["xdpsteer re", ["reload"]],
    ["xdpsteer ports set 7777 --a", ["--action", "--address"]],
    ["xdpsteer ports set 7777 --action ", PLAIN_ACTIONS.toSorted()],
    ["xdpsteer ports set 7777 --worker 1 -a e", ["echo"]],
    ["xdpsteer detach --interface ", interfaces.map(({ name }) => name).sort()],
    ["xdpsteer run --config /etc/host", ["/etc/host.conf", "/etc/hostname", "/etc/hosts"]],
    ["xdpsteer check /etc/host", ["/etc/host.conf", "/etc/hostname", "/etc/hosts"]],
    ["xdpsteer completions ", ["bash", "fish", "zsh"]],
  ];
}

Deno.test("bash completes commands, options, choices, interfaces and files", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  const file = await completionsFor(network, "bash", directory.path);
  for (const [line, offers] of await expectedOffers()) {
    const script = `source ${file}
      read -ra COMP_WORDS <<<"$1"; [[ $1 == *' ' ]] && COMP_WORDS+=("")
      COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _xdpsteer; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const offered = (await shell("bash", "-euc", script, "bash", line)).trim().split("\n").sort();
    const wanted = line.includes("/etc/") ? offered.filter((name) => offers.includes(name)) : offered;
    assert.deepEqual(wanted, await existing(offers), line);
  }
});

Deno.test("fish completes commands, options, choices, interfaces and files", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  const file = await completionsFor(network, "fish", directory.path);
  await shell("fish", "-n", file);
  for (const [line, offers] of await expectedOffers()) {
    const listed = await shell("fish", "--no-config", "-c", `source ${file}; complete -C '${line}'`);
    const offered = listed.trim().split("\n").map((text) => text.split("\t")[0]!).sort();
    const wanted = line.includes("/etc/") ? offered.filter((name) => offers.includes(name)) : offered;
    assert.deepEqual(wanted, await existing(offers), line);
  }
});

Deno.test("zsh completes commands, options, choices, interfaces and files", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  const file = await completionsFor(network, "zsh", directory.path);
  await shell("zsh", "-n", file);
  // Completion needs a line editor: a shell on a terminal of its own, whose completion function tells all matches.
  const script = `zmodload zsh/zpty
    zpty z zsh -f -i
    zpty -w z 'PS1=; autoload -U compinit; compinit -u -d ${directory.path}/dump; source ${file}'
    zpty -w z 'tell() { compstate[insert]=; compstate[list]=; compadd() { builtin compadd -O found "$@"; all+=($found)
      builtin compadd "$@" }; all=(); _main_complete; print -l -- $all >'${directory.path}'/out.new
      mv '${directory.path}'/out.new '${directory.path}'/out }; zle -C tell list-choices tell; bindkey "^I" tell'
    zpty -w -n z "$1"$'\\t'
    repeat 1000; do [[ -e ${directory.path}/out ]] && break; zpty -r -t z part; sleep 0.05; done
    zpty -d z; cat ${directory.path}/out`;
  for (const [line, offers] of await expectedOffers()) {
    await Deno.remove(`${directory.path}/out`).catch(() => {});
    const offered = new Set((await shell("zsh", "-fc", script, "zsh", line)).trim().split("\n"));
    const missing = (await existing(offers)).filter((name) =>
      !offered.has(name) && !offered.has(name.split("/").at(-1)!)
    );
    assert.deepEqual(missing, [], `${line}: ${[...offered]}`);
    if (!line.includes("/etc/")) assert.deepEqual([...offered].sort(), offers, line);
  }
});

/** Of files those that this machine has. */
async function existing(names: readonly string[]): Promise<string[]> {
  const there = await Promise.all(
    names.map((name) => name.startsWith("/") ? Deno.stat(name).then(() => true, () => false) : true),
  );
  return names.filter((_, index) => there[index]);
}

Deno.test("the manual page has every command and option of --help, and man has nothing to complain of", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  const { stdout } = await xdpsteer(network, "man");
  const page = `${directory.path}/xdpsteer.8`;
  await Deno.writeTextFile(page, stdout);
  const { stdout: text, stderr } = await finish(network, ["man", "--warnings", "-l", page], {
    env: { LC_ALL: "C.UTF-8", MANWIDTH: "200" },
  });
  assert.equal(stderr, "");
  const commandsOf = async (...path: string[]): Promise<string[]> => {
    const { stdout: help } = await xdpsteer(network, ...path, "--help");
    const list = help.split("\nCommands:\n")[1] ?? "";
    return [...list.matchAll(/^ {2}([a-z]+)/gm)].map(([, name]) => name!).filter((name) => name !== "help");
  };
  const commands = await commandsOf();
  assert.ok(commands.includes("run") && commands.includes("ports") && !commands.includes("traffic"));
  const all = [
    ...commands.filter((name) => name !== "ports"),
    ...(await commandsOf("ports")).map((name) => `ports ${name}`),
  ];
  for (const command of all) {
    const section = text.split(new RegExp(`^ {3}${command}(?: [a-z]+)? \\[options\\]$`, "m"))[1]?.split(
      /^ {0,3}\S/m,
    )[0];
    assert.ok(section !== undefined, `"${command}" is in the manual page`);
    const { stdout: help } = await xdpsteer(network, ...command.split(" "), "--help");
    for (const [, option] of help.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)) {
      if (option !== "--help") assert.ok(section.includes(option!), `${command} ${option}`);
    }
  }
});
