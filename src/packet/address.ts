/**
 * Addresses as text, as they stand in a frame.
 *
 * @module
 */

/** `02:00:00:00:00:01` as six bytes. @throws {TypeError} for anything else. */
export function parseMac(text: string): Uint8Array<ArrayBuffer> {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text)) throw new TypeError(`Cannot read the MAC address "${text}"`);
  return Uint8Array.from(text.split(":"), (part) => parseInt(part, 16));
}

/** Six bytes as `02:00:00:00:00:01`. */
export function formatMac(mac: Uint8Array): string {
  return [...mac].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** An IPv4 address as 4 bytes, an IPv6 address as 16. @throws {TypeError} for anything else. */
export function parseAddress(text: string): Uint8Array<ArrayBuffer> {
  const bytes = text.includes(":") ? parseIpv6(text) : parseIpv4(text);
  if (bytes === undefined) throw new TypeError(`Cannot read the IP address "${text}"`);
  return bytes;
}

function parseIpv4(text: string): Uint8Array<ArrayBuffer> | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256)) return undefined;
  return Uint8Array.from(parts, Number);
}

function parseIpv6(text: string): Uint8Array<ArrayBuffer> | undefined {
  const sides = text.split("::").map((side) => side === "" ? [] : side.split(":"));
  const [before, after = []] = sides;
  const given = before!.length + after.length;
  if (sides.length > 2 || (sides.length === 1 ? given !== 8 : given > 7)) return undefined;
  const groups = [...before!, ...Array(8 - given).fill("0"), ...after];
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  return Uint8Array.from(groups.flatMap((group) => [parseInt(group, 16) >> 8, parseInt(group, 16) & 0xff]));
}

/** An address and ports. */
export interface Endpoint {
  readonly address: string;
  /** 0: none. */
  readonly port: number;
  /** Of a range of ports the last one. */
  readonly lastPort?: number | undefined;
}

/** An address and a port as `192.0.2.1:53` or `[2001:db8::1]:53`, with `:53-60` for a range, without any for port 0. */
export function formatEndpoint({ address, port, lastPort }: Endpoint): string {
  const host = address.includes(":") ? `[${address}]` : address;
  if (port === 0) return host;
  return lastPort === undefined ? `${host}:${port}` : `${host}:${port}-${lastPort}`;
}

/** 4 or 16 bytes as `192.0.2.1` or `2001:db8::1`. */
export function formatAddress(address: Uint8Array): string {
  if (address.length === 4) return address.join(".");
  const groups = Array.from({ length: 8 }, (_, at) => (address[2 * at]! << 8 | address[2 * at + 1]!).toString(16));
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}
