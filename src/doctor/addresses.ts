/**
 * The box's own addresses that forwarding translates to.
 *
 * @module
 */
import { commandFor, foreignAmong } from "../host/own_addresses.ts";
import { plural } from "../text.ts";
import { type Circumstances, type MachineCheck, ok, problem, type Verdict } from "../host/question.ts";

export const ADDRESSES_CHECK: MachineCheck = { check: "forwarding.addresses", explains: [], look: addresses };

function addresses({ rules, interfaces }: Circumstances): Verdict | undefined {
  const addresses = rules?.forwarding.addresses ?? [];
  if (addresses.length === 0) return undefined;
  const foreign = foreignAmong(addresses);
  if (foreign.length === 0) return ok(`the box has ${plural(addresses.length, "translation address")}`);
  const are = foreign.length === 1 ? "is a translation address" : "are translation addresses";
  const text = `${foreign.join(", ")} ${are} that no interface has: backends cannot answer to it`;
  const device = interfaces.at(-1)?.name ?? "DEVICE";
  return problem(text, foreign.map((address) => commandFor(address, device)).join("; "));
}
