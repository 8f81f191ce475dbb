/**
 * Destination addresses as the configuration writes them: `own`, `any`, or a list of addresses and prefixes.
 *
 * @module
 */
import * as z from "zod";
import { formatAddress } from "../packet/address.ts";
import {
  type Addresses,
  isWithin,
  MAX_LISTED_ADDRESSES,
  networkOf,
  parsePrefix,
  type Prefix,
} from "../steering/addresses.ts";
import { bytesOf, hostFault, shortest } from "./backend.ts";
import { written } from "./shapes.ts";
import { complain, complainAboutText, show, startsWithZero, ZERO } from "./wording.ts";

const ITEM = 'an address like "192.0.2.10" or a prefix like "2001:db8::/64"';
const ALL = 'own, any, or a list of addresses like "192.0.2.10" and prefixes like "2001:db8::/64"';

/** An address or a prefix in its shortest spelling; undefined for what is neither. */
export function readAddress(text: string): string | undefined {
  return addressFault(text) === "" ? spell(text) : undefined;
}

/** What is wrong with an address or a prefix, to follow it in a sentence; "" where it can be read. */
export function addressFault(text: string): string {
  const [host = "", length, ...more] = text.split("/");
  if (more.length > 0) return 'has more than one "/" in it';
  const bytes = bytesOf(host);
  if (bytes === undefined) return hostFault(host, host.includes(":"));
  if (bytes.length === 16 && isMapped(bytes)) return "is an IPv4 address written as IPv6";
  if (length === undefined) return "";
  const most = bytes.length * 8;
  if (!/^\d+$/.test(length)) return `has the prefix length "${length}", which is not a number`;
  if (startsWithZero(length)) return `has the prefix length ${length}, which ${ZERO}`;
  if (Number(length) > most) return `has the prefix length ${length}, which is out of range (0 to ${most})`;
  const network = networkOf(bytes, Number(length));
  if (network.some((byte, at) => byte !== bytes[at])) {
    const whole = `${formatAddress(network)}/${length}`;
    return `has bits set behind its prefix: use "${whole}" for the network, or "${spell(host)}" for the host`;
  }
  return "";
}

function isMapped(bytes: Uint8Array): boolean {
  return bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
}

/** A prefix that is as long as an address is that address. */
function spell(text: string): string {
  const [host = "", length] = text.split("/");
  const address = shortest(host);
  return length === undefined || Number(length) === (address.includes(":") ? 128 : 32)
    ? address
    : `${address}/${length}`;
}

const aboutItem = complainAboutText("address", ITEM, addressFault);
const aboutWord = complainAboutText(
  "addresses",
  ALL,
  (text) => /^[a-z_-]+$/i.test(text) ? "is not known" : addressFault(text) || "is not known",
);
const aboutAll = complain("addresses", ALL, () => "is not known");
const item = z.string({ error: aboutItem }).refine((text) => readAddress(text) !== undefined, { error: aboutItem });
const list = z.array(item, { error: aboutAll })
  .min(1, { error: `addresses is an empty list: expected ${ALL}` })
  .max(MAX_LISTED_ADDRESSES, { error: `addresses has too many: expected at most ${MAX_LISTED_ADDRESSES}, or prefixes` })
  .superRefine((texts, context) => {
    const known: { readonly address: string; readonly prefix: Prefix }[] = [];
    for (const [index, text] of texts.entries()) {
      const address = readAddress(text);
      if (address === undefined) continue;
      const complain = (message: string): void => context.addIssue({ code: "custom", path: [index], message });
      const prefix = parsePrefix(address);
      const other = known.find((one) => isWithin(prefix, one.prefix) || isWithin(one.prefix, prefix));
      if (other?.address === address) complain(`address ${show(address)} is listed twice: expected each address once`);
      else if (other !== undefined) {
        complain(`address ${show(address)} overlaps ${show(other.address)} in the same list: expected one of them`);
      }
      known.push({ address, prefix });
    }
  })
  .meta({ uniqueItems: true });

const forms = z.union([
  z.enum(["own", "any"]),
  z.string({ error: aboutWord }).refine((text) => readAddress(text) !== undefined, { error: aboutWord }),
  list,
], {
  error: (refusal) =>
    typeof refusal.input === "object" || refusal.input === undefined
      ? aboutAll({ ...refusal, path: ["addresses"] })
      : aboutWord(refusal),
}).meta({ examples: ["own", "any", "192.0.2.10", ["192.0.2.10", "2001:db8::/64"]] });

/** Schema of the value of `addresses:` in a rule. */
export const addressesSchema = written<typeof forms, Addresses>(
  forms,
  (value) => readAddresses(value)!,
  (addresses) => typeof addresses === "string" ? addresses : addresses.length === 1 ? addresses[0]! : [...addresses],
);

/** What a value of `addresses:` says; undefined where it is nothing that can be read. */
export function readAddresses(value: unknown): Addresses | undefined {
  if (value === "own" || value === "any") return value;
  const items: readonly unknown[] = Array.isArray(value) ? value : [value];
  const texts = items.map((text) => typeof text === "string" ? readAddress(text) : undefined);
  return texts.length === 0 || texts.includes(undefined) ? undefined : texts as readonly string[];
}
