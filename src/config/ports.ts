/**
 * UDP ports as the configuration writes them: `7777`, `"27015-27030"`, or a list of these.
 *
 * @module
 */

import * as z from "zod";
import { type PortRange, rangeText } from "../steering/rule.ts";
import { written } from "./shapes.ts";
import { complain, complainAboutNumber, show, startsWithZero, type Wording, ZERO } from "./wording.ts";

export type { PortRange } from "../steering/rule.ts";

/** The highest UDP port. 0 is not a port that a packet can be sent to. */
export const LAST_PORT = 65535;

const aboutNumber = complainAboutNumber("port", `1 to ${LAST_PORT}`);
const aboutText = complain(
  "port",
  `1 to ${LAST_PORT}, or a range like "27015-27030"`,
  (input) => typeof input === "string" ? portFault(input) : "is not a port",
);

/** Reads one item of `ports:`; a string in return is the complaint about it. */
export function readPorts(input: unknown): PortRange | string {
  if (typeof input === "number") {
    return isPort(input) ? { first: input, last: input } : aboutNumber({ input });
  }
  const match = typeof input === "string" ? /^(\d+)(?:-(\d+))?$/.exec(input) : null;
  if (match === null) return aboutText({ input });
  const [, from = "", to = from] = match;
  if (startsWithZero(from) || startsWithZero(to)) {
    const meant = [...new Set([Number(from), Number(to)])].join("-");
    return `port ${show(input)} ${ZERO}: expected ${meant.includes("-") ? `"${meant}"` : meant}`;
  }
  const first = Number(from);
  const last = Number(to);
  if (!isPort(first)) return aboutNumber({ input: first });
  if (!isPort(last)) return aboutNumber({ input: last });
  if (last < first) return `port range ${show(input)} runs backwards: expected "${last}-${first}"`;
  return { first, last };
}

/** Of what is neither a port nor a range. */
function portFault(text: string): string {
  if (/[\/:]/.test(text)) return "is more than a port, and every rule is about UDP";
  if (text.includes(",")) return "lists several ports in one text, and a list is written [80, 90]";
  if (/^\s|\s$|\s-|-\s/.test(text)) return "has a space in it";
  if (/^\d*-\d*$/.test(text)) return "is a range that lacks an end";
  return "is not a port";
}

function isPort(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= LAST_PORT;
}

const aboutItem: Wording = (refusal) => {
  const outcome = readPorts(refusal.input);
  return typeof outcome === "string" ? outcome : "";
};
const aboutAll = complain("ports", 'a port, a range like "27015-27030", or a list of these', () => "is not a port");

const number = z.int({ error: aboutItem }).min(1, { error: aboutItem }).max(LAST_PORT, { error: aboutItem });
const text = z.string({ error: aboutItem }).regex(/^[1-9][0-9]*(-[1-9][0-9]*)?$/, { error: aboutItem })
  .refine((input) => typeof readPorts(input) !== "string", { error: aboutItem });

const forms = z.union([
  number,
  text,
  z.array(z.union([number, text], { error: aboutItem })).min(1, {
    error: 'ports is an empty list: expected at least one port, for example [7777, "27015-27030"]',
  }),
], {
  error: (refusal) => {
    const scalar = typeof refusal.input !== "object" && refusal.input !== undefined;
    return scalar ? aboutItem(refusal) : aboutAll({ ...refusal, path: ["ports"] });
  },
}).meta({ examples: [8080, "27015-27030", [7777, "27015-27030"]] });

/** Schema of the value of `ports:`. */
export const portsSchema = written<typeof forms, readonly PortRange[]>(
  forms,
  (value) => portItems(value).map(({ ports }) => ports),
  (ranges) => {
    const items = ranges.map((range) => range.first === range.last ? range.first : rangeText(range));
    return items.length === 1 ? items[0]! : items;
  },
);

/** One item of `ports:` and where it stands: the step below the key, none where the value is not a list. */
export interface PortItem {
  readonly ports: PortRange;
  readonly step: readonly number[];
}

/** The items of a `ports:` value that can be read; those that cannot are the schema's business. */
export function portItems(value: unknown): PortItem[] {
  const inputs: readonly unknown[] = Array.isArray(value) ? value : [value];
  return inputs.flatMap((input, index) => {
    const ports = readPorts(input);
    return typeof ports === "string" ? [] : [{ ports, step: Array.isArray(value) ? [index] : [] }];
  });
}

/** Ports that two items claim. */
export interface Clash<Owner> {
  readonly ports: PortRange;
  /** Who claimed them first. */
  readonly owner: Owner;
}

/** After so many clashes a claim ends at its first one: more are not listed anyway, and it bounds the time. */
const MAX_DETAILED_CLASHES = 64;

/** A block is a page's worth of {@linkcode Int32Array}. */
const BLOCK_BITS = 10;
const BLOCK_PORTS = 1 << BLOCK_BITS;

/** Who owns which port. Time grows with the number of ports and claims, never with their product. */
export class PortClaims<Owner> {
  /**
   * Per port: 1 + index into `#owners`, 0 where it is free. In blocks, each made when one of its ports is claimed:
   * memory that is touched for the first time is dear, and most configurations name few ports.
   */
  readonly #ownerOf: Int32Array[] = [];
  readonly #owners: Owner[] = [];
  #clashes = 0;

  /** Gives the free ones of `ports` to `owner`, and returns the runs that belong to others already. */
  claim(ports: PortRange, owner: Owner): Clash<Owner>[] {
    return this.#walk(ports, this.#owners.push(owner));
  }

  /** The runs of `ports` that belong to somebody. */
  clashes(ports: PortRange): Clash<Owner>[] {
    return this.#walk(ports, 0);
  }

  /** @param id Who gets the free ones; 0: nobody. */
  #walk(ports: PortRange, id: number): Clash<Owner>[] {
    const clashes: { ports: { first: number; last: number }; owner: Owner }[] = [];
    let current = 0;
    for (let port = ports.first; port <= ports.last; port++) {
      const block = this.#ownerOf[port >> BLOCK_BITS] ??= new Int32Array(BLOCK_PORTS);
      const at = port & (BLOCK_PORTS - 1);
      const holder = block[at]!;
      if (holder === 0) block[at] = id;
      const run = clashes.at(-1);
      const other = this.#owners[holder - 1];
      if (holder !== 0 && holder === current && run !== undefined) run.ports.last = port;
      else if (other !== undefined) {
        clashes.push({ ports: { first: port, last: port }, owner: other });
        if (++this.#clashes > MAX_DETAILED_CLASHES) break;
      }
      current = holder;
    }
    return clashes;
  }
}
