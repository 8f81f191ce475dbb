/**
 * The maps of a running appliance as anybody with bpf(2) finds them, and writes to them.
 *
 * @module
 */
import type { Appliance } from "./appliance.ts";
import { runHere } from "./command.ts";
import { fdInfos } from "./fdinfo.ts";

/** What its owner calls a map; the kernel keeps a part of the object's name before it, and 15 characters in all. */
const NAMES = { ports: ".bss.po", control: ".data.c", sockets: "xsk_map" } as const;
export type MapName = keyof typeof NAMES;

/** Writes bytes into the one value of a map: value, offset, bytes. */
const WRITER = `
import ctypes, struct, sys
SYSCALL = {"x86_64": 321, "aarch64": 280}[__import__("platform").machine()]
LOOKUP, UPDATE, FD_BY_ID = 1, 2, 14
libc = ctypes.CDLL(None, use_errno=True)
def bpf(command, attr):
    buffer = ctypes.create_string_buffer(attr, 128)
    result = libc.syscall(SYSCALL, command, buffer, 128)
    if result < 0: raise OSError(ctypes.get_errno(), "bpf")
    return result
number, size, offset = map(int, sys.argv[1:4])
wanted = bytes.fromhex(sys.argv[4])
fd = bpf(FD_BY_ID, struct.pack("<I", number))
key = ctypes.create_string_buffer(4)
value = ctypes.create_string_buffer(size)
attr = struct.pack("<IxxxxQQQ", fd, ctypes.addressof(key), ctypes.addressof(value), 0)
bpf(LOOKUP, attr)
before = value.raw[offset:offset + len(wanted)]
ctypes.memmove(ctypes.addressof(value) + offset, wanted, len(wanted))
if wanted: bpf(UPDATE, attr)
print(before.hex() if wanted else value.raw[offset:offset + 8].hex())
`;

interface MapInfo {
  readonly id: number;
  readonly bytes_value: number;
}

async function mapOf(box: Appliance, name: MapName): Promise<MapInfo> {
  const ids = new Set(fdInfos(box).flatMap((text) => /^map_id:\s*(\d+)$/m.exec(text)?.[1] ?? []));
  const maps: (MapInfo & { name?: string })[] = JSON.parse(await runHere("bpftool", "-j", "map", "list"));
  const found = maps.find((map) => ids.has(`${map.id}`) && map.name?.includes(NAMES[name]));
  if (found === undefined) throw new Error(`no map ${name}: ${maps.map((map) => map.name)}`);
  return found;
}

/** Writes into a map of one value, by a system call. @returns what was there. */
export async function writeMap(
  box: Appliance,
  name: "ports" | "control",
  offset: number,
  bytes: Uint8Array,
): Promise<Uint8Array> {
  const { id, bytes_value } = await mapOf(box, name);
  const words = [`${id}`, `${bytes_value}`, `${offset}`, bytes.toHex()];
  return Uint8Array.fromHex((await runHere("/usr/bin/python3", "-c", WRITER, ...words)).trim());
}

/** Eight bytes of a map of one value. */
export function readMap(box: Appliance, name: "ports" | "control", offset: number): Promise<Uint8Array> {
  return writeMap(box, name, offset, new Uint8Array());
}

/** Takes a socket out of xsk_map. */
export async function removeSocket(box: Appliance, index: number): Promise<void> {
  const { id } = await mapOf(box, "sockets");
  await runHere("bpftool", "map", "delete", "id", `${id}`, "key", `${index}`, "0", "0", "0");
}
