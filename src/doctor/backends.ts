/**
 * The ways to the backends of a configuration.
 *
 * @module
 */
import { answerRoutes, lostBackends } from "../backends/configured_ways.ts";
import { wayFix } from "../observe/problems/find_forwarding.ts";
import { type Circumstances, type MachineCheck, ok, problem, type Verdict } from "../host/question.ts";
import { plural } from "../text.ts";

export const BACKENDS_CHECK: MachineCheck = { check: "forwarding.backends", explains: [], look: backends };

/** What a rule with source: client asks of its backends: nobody but them can see whether it is so. */
export const ANSWERS_CHECK: MachineCheck = { check: "forwarding.answers", explains: [], look: answers };

/** More are counted. */
const SHOWN = 3;

function backends({ interfaces, rules }: Circumstances): Verdict | undefined {
  const steering = rules?.steering ?? [];
  const names = new Set(steering.flatMap(({ action }) => action.kind === "forward" ? action.to : []).map(nameOf));
  if (names.size === 0) return undefined;
  const lost = [...new Map(lostBackends({ interfaces, steering }).map((each) => [each.name, each])).values()];
  if (lost.length === 0) {
    return ok(`there is a way to ${names.size === 1 ? "the backend" : `all ${names.size} backends`}`);
  }
  const shown = lost.slice(0, SHOWN).map(({ name, noWay }) => `${name} (${noWay.text})`);
  const more = lost.length > SHOWN ? [`${lost.length - SHOWN} more`] : [];
  const fixes = new Set(lost.slice(0, SHOWN).map(({ name, noWay }) => wayFix(name, noWay)));
  return problem(
    `no packet would get to ${plural(lost.length, "backend")} of ${names.size}: ${[...shown, ...more].join(", ")}`,
    [...fixes].join("; "),
  );
}

function answers({ rules }: Circumstances): Verdict | undefined {
  const routes = answerRoutes(rules?.steering ?? []);
  if (routes.length === 0) return undefined;
  const words = routes.map(({ backends, gateway }) => {
    const more = backends.length > SHOWN ? ` and ${backends.length - SHOWN} more` : "";
    const who = backends.slice(0, SHOWN).join(", ") + more;
    if (gateway === null) return `${who}: by a router whose route to clients leads to this box`;
    return `${who}: ip ${gateway.includes(":") ? "-6 " : ""}route replace default via ${gateway}`;
  });
  return ok(`with source: client backends have to answer by this box: ${words.join("; ")}`);
}

function nameOf({ name }: { readonly name: string }): string {
  return name;
}
