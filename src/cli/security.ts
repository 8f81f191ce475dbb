/**
 * `xdpsteer version --security`: what the program may do, as it would run. The launcher confines this command like
 * `run`, so that what the kernel says here is true there.
 *
 * @module
 */
import { type Confinement, confinement, listCapabilities, NEEDED_CAPABILITIES } from "../host/privileges.ts";
import { plural } from "../text.ts";
import { print, printJson, table } from "./output.ts";
import { packaging } from "./self.ts";

/** More than steering needs in any circumstances. */
const MANY = 5;

/** Prints what the kernel says. */
export function security(json: boolean): void {
  const state = confinement();
  if (json) printJson({ ...state, packaging: packaging() });
  else print(lines(state).join("\n"));
}

function lines(state: Confinement): string[] {
  const { user, capabilities, bounding, noNewPrivileges, seccompFilters, landlock, coreDumps } = state;
  const rows = [
    ["user", user === 0 ? "0 (root); run --user NAME gives that up" : `${user}`],
    ["capabilities", listed(capabilities)],
    ["to be gained", noNewPrivileges ? "none (no_new_privs)" : `up to ${plural(bounding.length, "capability")}`],
    ["system calls", seccompFilters > 0 ? `filtered (seccomp, ${plural(seccompFilters, "filter")})` : "all"],
    ["writing", landlock ? "not to the system's files (Landlock)" : "wherever its user may: no Landlock"],
    ["core dumps", coreDumps ? "as the system makes them" : "none"],
  ];
  return ["xdpsteer run, started here by this user, has:", ...table(["", ""], rows).split("\n").slice(1)];
}

function listed(names: readonly string[]): string {
  if (names.length > MANY) return `${names.length}; ${NEEDED_CAPABILITIES.join(", ")} would do`;
  return listCapabilities(names);
}
