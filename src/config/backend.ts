/**
 * A backend as the configuration writes it, `10.0.0.11:9000`, and what can be wrong with one.
 *
 * @module
 */
import { formatAddress, formatEndpoint, parseAddress } from "../packet/address.ts";
import type { Backend } from "../steering/forward.ts";
import { LAST_PORT } from "./ports.ts";
import { show, startsWithZero, ZERO } from "./wording.ts";

export const BACKEND = 'an address and port like "10.0.0.11:9000" or "[fd00::11]:9000"';

/** A backend taken apart, in its shortest spelling. */
type BackendAddress = Omit<Backend, "weight">;

/** Reads a backend; undefined for what is none. */
export function readBackend(text: string): BackendAddress | undefined {
  const outcome = takeApart(text);
  return typeof outcome === "string" ? undefined : outcome;
}

/** The longest name that DNS has, without the last dot. */
const MAX_NAME = 253;
/** The longest part of one, from dot to dot. */
const MAX_LABEL = 63;
const LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?";
const HOST = new RegExp(`^(?:${LABEL}\\.)+[a-z_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$`);

/** A name that DNS can be asked for, in its one spelling; undefined for what is none. */
export function readHost(text: string): string | undefined {
  const host = text.toLowerCase().replace(/\.$/, "");
  return host.length <= MAX_NAME && HOST.test(host) ? host : undefined;
}

/** A backend that has a name, in its one spelling. */
export interface NamedBackend extends Ports {
  readonly name: string;
  readonly host: string;
}

/** Reads a backend that has a name, `game.example.com:7777`; undefined for what is none. */
export function readNamed(text: string): NamedBackend | undefined {
  const [, name = "", ports] = /^([^:]*)(?::([^:]*))?$/.exec(text) ?? [];
  const host = readHost(name);
  const read = readBackendPorts(ports);
  if (host === undefined || typeof read === "string") return undefined;
  return { name: formatEndpoint({ address: host, ...read }), host, ...read };
}

/**
 * What somebody calls a backend, or a name of the file, in its one spelling; undefined for what is neither. An IPv6
 * address without a port needs no brackets.
 */
export function readCalled(text: string): string | undefined {
  return (readBackend(text) ?? readNamed(text) ?? readBackend(`[${text}]`))?.name;
}

interface Ports {
  /** 0: none. */
  readonly port: number;
  readonly lastPort?: number;
}

/** Reads what is behind the colon; undefined: there is none. @returns What is wrong, where something is. */
function readBackendPorts(text: string | undefined): Ports | string {
  if (text === undefined) return { port: 0 };
  const [first = "", last, ...more] = text.split("-");
  const ports: number[] = [];
  for (const digits of last === undefined ? [first] : [first, last, ...more]) {
    if (!/^\d+$/.test(digits) || more.length > 0) return `has the port "${text}", which is not a number`;
    if (startsWithZero(digits)) return `has the port ${digits}, which ${ZERO}`;
    const port = Number(digits);
    if (port < 1 || port > LAST_PORT) return `has the port ${port}, which is out of range (1 to ${LAST_PORT})`;
    ports.push(port);
  }
  const [port, lastPort = port] = ports as [number, number?];
  if (lastPort < port) return `has the ports ${text}, which run backwards`;
  return lastPort === port ? { port } : { port, lastPort };
}

/** What is wrong with a backend, to follow it in a sentence: `has no port`. */
export function backendFault(text: string): string {
  if (readNamed(text) !== undefined) return "";
  if (/^[a-z][^.:]*(:[\d-]+)?$/i.test(text)) return "has a name without a dot, and search domains are not tried";
  const [, name, ports] = /^((?!\[)[^:]*\p{L}[^:]*)(?::([^:]*))?$/u.exec(text) ?? [];
  if (name !== undefined && !text.includes("://")) {
    const read = readBackendPorts(ports);
    return readHost(name) === undefined ? nameFault(name) : typeof read === "string" ? read : "";
  }
  const outcome = takeApart(text);
  return typeof outcome === "string" ? outcome : "";
}

/** What is wrong with what should be a name that DNS has, to follow it in a sentence. */
function nameFault(name: string): string {
  const host = name.replace(/\.$/, "");
  const odd = /[^A-Za-z0-9_.-]/u.exec(host);
  if (odd !== null) {
    const more = odd[0] > "\x7f" ? "; others are written as xn--" : "";
    return `has ${show(odd[0])} in its name, and names have letters, digits, "-" and "_"${more}`;
  }
  if (host.length > MAX_NAME) return `has a name of ${host.length} characters, and DNS has at most ${MAX_NAME}`;
  const labels = host.split(".");
  if (labels.includes("")) return "has a name with nothing before or between its dots";
  const long = labels.find(({ length }) => length > MAX_LABEL);
  if (long !== undefined) {
    return `has a name with a part of ${long.length} characters, and DNS has at most ${MAX_LABEL} from dot to dot`;
  }
  const dashed = labels.find((label) => /^-|-$/.test(label));
  if (dashed !== undefined) return `has a name whose part ${show(dashed)} begins or ends with "-"`;
  if (labels.length < 2) return "has a name without a dot, and search domains are not tried";
  return `has a name whose last part, ${show(labels.at(-1))}, begins with a digit`;
}

/** @returns What is wrong, where something is. */
function takeApart(text: string): BackendAddress | string {
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::([^:]*))?$/.exec(text);
  if (match === null) return shapeFault(text);
  const [, ipv6, ipv4, digits] = match;
  const host = ipv6 ?? ipv4!;
  const bytes = bytesOf(host);
  if (bytes === undefined || (bytes.length === 16) !== (ipv6 !== undefined)) return hostFault(host, ipv6 !== undefined);
  const ports = readBackendPorts(digits);
  if (typeof ports === "string") return ports;
  const fault = isLinkLocal(bytes)
    ? "is a link-local address, which each interface may have another host for"
    : bytes.length === 4
    ? ipv4Fault(bytes)
    : ipv6Fault(bytes);
  if (fault !== undefined) return fault;
  // One spelling of each address: the name decides what a Maglev table looks like, on every box.
  const address = formatAddress(bytes);
  return { name: formatEndpoint({ address, ...ports }), address, ...ports };
}

export const OWN_ADDRESS = 'an address of this box like "192.0.2.10" or "2001:db8::10"';

/** One of the box's own addresses in its shortest spelling; undefined for what cannot be one. */
export function readOwnAddress(text: string): string | undefined {
  return ownAddressFault(text) === "" ? shortest(text) : undefined;
}

/** What is wrong with an address of the box, to follow it in a sentence. */
export function ownAddressFault(text: string): string {
  const bytes = bytesOf(text);
  if (bytes === undefined) return hasPort(text) ? "has a port" : hostFault(text, text.includes(":"));
  if (isLinkLocal(bytes)) return "is a link-local address, which no route leads to";
  return (bytes.length === 4 ? ipv4Fault(bytes) : ipv6Fault(bytes)) ?? "";
}

function hasPort(text: string): boolean {
  const read = readBackend(text);
  return read !== undefined && read.port !== 0;
}

/** Whether it is an IPv6 address of one link. */
function isLinkLocal(bytes: Uint8Array): boolean {
  return bytes.length === 16 && bytes[0] === 0xfe && (bytes[1]! & 0xc0) === 0x80;
}

/** The shortest spelling of an address that can be read. */
export function shortest(host: string): string {
  return formatAddress(bytesOf(host)!);
}

/** The bytes of an address; undefined for what is none. */
export function bytesOf(host: string): Uint8Array | undefined {
  try {
    // Some read a part that begins with 0 as octal.
    return host.includes(":") || !host.split(".").some(startsWithZero) ? parseAddress(host) : undefined;
  } catch {
    return undefined;
  }
}

/** Of what is not `HOST:PORT`. */
function shapeFault(text: string): string {
  if (text.includes("://")) return "is a URL";
  if (/^\[[^\]]*$/.test(text)) return "has no closing bracket";
  if (bytesOf(text) !== undefined || /^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*:\d+$/.test(text)) {
    return "is an IPv6 address without brackets";
  }
  return text.includes(":") ? "is not an address and a port" : hostFault(text, false);
}

/** What is wrong with what should be an IP address, to follow it in a sentence. */
export function hostFault(host: string, inBrackets: boolean): string {
  if (host === "") return "has no address";
  if (inBrackets && bytesOf(host)?.length === 4) return "is an IPv4 address in brackets, which are for IPv6";
  if (inBrackets && host.includes("%")) return "names an interface, which the kernel's routes decide";
  if (inBrackets && /^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(host)) return "is an IPv4 address written as IPv6";
  if (!inBrackets && /^\d+(\.\d+)*$/.test(host) && host.split(".").some(startsWithZero)) {
    return `has an address with a part that ${ZERO}`;
  }
  if (!inBrackets && /^[0-9.]+$/.test(host)) return "has an address that is not four numbers from 0 to 255";
  if (!inBrackets && /[a-z]/i.test(host)) return "has a name for an address, and names are not looked up";
  return "has no IP address that can be read";
}

const LOOPBACK = "is a loopback address, which no packet on a network can be sent to";
const ONE_HOST = "and one host is expected";

function ipv4Fault(bytes: Uint8Array): string | undefined {
  const [first] = bytes;
  if (first === 127) return LOOPBACK;
  if (first === 0) return "is not the address of a host (0.0.0.0/8)";
  if (bytes.every((byte) => byte === 255)) return `is the broadcast address, ${ONE_HOST}`;
  if (first! >= 240) return "is in the reserved range 240.0.0.0/4";
  return first! >= 224 ? `is a multicast address, ${ONE_HOST}` : undefined;
}

function ipv6Fault(bytes: Uint8Array): string | undefined {
  if (bytes[0] === 0xff) return `is a multicast address, ${ONE_HOST}`;
  if (bytes.subarray(0, 15).some((byte) => byte !== 0)) return undefined;
  return bytes[15] === 1 ? LOOPBACK : bytes[15] === 0 ? "is not the address of a host (::)" : undefined;
}
