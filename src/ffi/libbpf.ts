/**
 * libbpf through FFI: loading an object from bytes, reading and writing maps, attaching by link. Set-up and control
 * only; nothing here is called per packet.
 *
 * @module
 */
import { SteerError } from "../errors.ts";
import { ERRNO, syscallError } from "./errno.ts";
import { checked, libbpf, messagesOf } from "./libbpf_library.ts";
import { closeFd, libc } from "./libc.ts";
import {
  BPF_LINK_CREATE_OPTS,
  BPF_LINK_INFO,
  BPF_MAP_CREATE_OPTS,
  BPF_PROG_INFO,
  BPF_TEST_RUN_OPTS,
  BPF_XDP_QUERY_OPTS,
  UAPI,
} from "./uapi.ts";

const cString = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(`${text}\0`);

/** Opaque handles of libbpf; only this module looks inside. */
export type BpfObjectHandle = Deno.PointerObject<"bpf_object">;
export type BpfMapHandle = Deno.PointerObject<"bpf_map">;

/**
 * Reads an ELF object, creates its maps and loads its programs. The kernel takes some tens of milliseconds, on another
 * thread: this one can go on meanwhile.
 *
 * @param prepare Sizes and fills maps before that. It may be called twice.
 * @throws {SteerError} with libbpf's and the verifier's words in full.
 */
export async function loadObject(
  bytes: Uint8Array<ArrayBuffer>,
  prepare: (object: BpfObjectHandle) => void,
): Promise<BpfObjectHandle> {
  const quiet = openObject(bytes, prepare);
  if (await libbpf().bpf_object__load_elsewhere(quiet) === 0) return quiet;
  closeObject(quiet);
  // Once more, to hear why.
  const handle = openObject(bytes, prepare);
  let result = 0;
  const words = messagesOf(() => result = libbpf().bpf_object__load(handle));
  if (result === 0) return handle;
  closeObject(handle);
  const error = syscallError("bpf", -result, "load the BPF object");
  throw new SteerError(`${error.message}\n${words}`, { cause: error, ...(error.hint ? { hint: error.hint } : {}) });
}

/** Whether the kernel takes an object from this process, whose maps and programs are closed again. */
export function canLoad(bytes: Uint8Array<ArrayBuffer>): boolean {
  const handle = openObject(bytes, () => {});
  let result = 0;
  messagesOf(() => result = libbpf().bpf_object__load(handle));
  closeObject(handle);
  return result === 0;
}

/** libbpf reads from `bytes` until the object is loaded. */
function openObject(bytes: Uint8Array<ArrayBuffer>, prepare: (object: BpfObjectHandle) => void): BpfObjectHandle {
  const open = (): Deno.PointerValue => libbpf().bpf_object__open_mem(bytes, BigInt(bytes.byteLength), null);
  const handle = open() as BpfObjectHandle | null;
  if (handle === null) throw new SteerError(`Cannot read the BPF object: ${messagesOf(open) || "not a BPF ELF file"}`);
  try {
    prepare(handle);
    return handle;
  } catch (error) {
    closeObject(handle);
    throw error;
  }
}

export function closeObject(handle: BpfObjectHandle): void {
  libbpf().bpf_object__close(handle);
}

export function programFd(handle: BpfObjectHandle, name: string): number {
  const program = libbpf().bpf_object__find_program_by_name(handle, cString(name));
  if (program === null) throw new SteerError(`The BPF object has no program "${name}"`);
  return libbpf().bpf_program__fd(program);
}

export function findMap(handle: BpfObjectHandle, name: string): BpfMapHandle {
  const map = libbpf().bpf_object__find_map_by_name(handle, cString(name));
  if (map === null) throw new SteerError(`The BPF object has no map "${name}"`);
  return map as BpfMapHandle;
}

export function mapFd(map: BpfMapHandle): number {
  return libbpf().bpf_map__fd(map);
}

/** Sizes a map; before load only. */
export function setMaxEntries(map: BpfMapHandle, maxEntries: number): void {
  checked(libbpf().bpf_map__set_max_entries(map, maxEntries), "bpf_map__set_max_entries", "size a BPF map");
}

/** Fills a read-only data section; before load only. */
export function setInitialValue(map: BpfMapHandle, value: Uint8Array<ArrayBuffer>): void {
  const result = libbpf().bpf_map__set_initial_value(map, value, BigInt(value.byteLength));
  checked(result, "bpf_map__set_initial_value", "set the XDP program's parameters");
}

/** Makes the object use a map that exists already; before load only. */
export function reuseMap(map: BpfMapHandle, fd: number): void {
  checked(libbpf().bpf_map__reuse_fd(map, fd), "bpf_map__reuse_fd", "share a BPF map");
}

/**
 * Creates an array that can be mapped and can be an element of a map of maps. @returns its fd, or `-errno`.
 *
 * @param valueBytes Size of an element.
 */
export function createInnerArray(name: string, valueBytes: number, entries: number): number {
  const options = new Uint8Array(BPF_MAP_CREATE_OPTS.size);
  const view = new DataView(options.buffer);
  view.setBigUint64(BPF_MAP_CREATE_OPTS.sz, BigInt(options.byteLength), true);
  view.setUint32(BPF_MAP_CREATE_OPTS.map_flags, UAPI.BPF_F_MMAPABLE | UAPI.BPF_F_INNER_MAP, true);
  return libbpf().bpf_map_create(UAPI.BPF_MAP_TYPE_ARRAY, cString(name), 4, valueBytes, entries, options);
}

/** A number as the keys and values of maps are given: a place in an array, a file descriptor. */
export function u32(value: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new Uint32Array([value]).buffer);
}

/** @param flags `BPF_NOEXIST`: only where there is none; `BPF_EXIST`: where there is one. @returns 0 or `-errno`. */
export function updateElement(
  fd: number,
  key: Uint8Array<ArrayBuffer>,
  value: Uint8Array<ArrayBuffer>,
  flags: bigint = 0n,
): number {
  return libbpf().bpf_map_update_elem(fd, key, value, flags);
}

/** @returns 0 or `-errno`. */
export function deleteElement(fd: number, key: Uint8Array<ArrayBuffer>): number {
  return libbpf().bpf_map_delete_elem(fd, key);
}

/** @returns 0 or `-errno`. */
export function lookupElement(fd: number, key: Uint8Array<ArrayBuffer>, value: Uint8Array<ArrayBuffer>): number {
  return libbpf().bpf_map_lookup_elem(fd, key, value);
}

/**
 * Reads elements of an array map as the kernel has them.
 *
 * @param first Index of the first element wanted.
 * @param count How many.
 * @param valueBytes Size of one value; a multiple of 8.
 */
export function lookupRange(
  fd: number,
  first: number,
  count: number,
  valueBytes: number,
  what: string,
): Uint8Array<ArrayBuffer> {
  const values = new Uint8Array(count * valueBytes);
  const keys = new Uint8Array(count * 4);
  const got = new Uint32Array([count]);
  const before = first === 0 ? null : u32(first - 1);
  const result = libbpf().bpf_map_lookup_batch(fd, before, new Uint8Array(4), keys, values, got, null);
  // ENOENT says that the end of the map was reached, after everything was copied.
  if (result !== -ERRNO.ENOENT) checked(result, "bpf_map_lookup_batch", what);
  if (got[0] !== count) throw new SteerError(`Cannot ${what}: the kernel returned ${got[0]} of ${count} entries`);
  return values;
}

/** Creates a map. @param type `UAPI.BPF_MAP_TYPE_LRU_HASH`. @returns its fd, or `-errno`. */
export function createMap(type: number, name: string, keyBytes: number, valueBytes: number, entries: number): number {
  return libbpf().bpf_map_create(type, cString(name), keyBytes, valueBytes, entries, null);
}

/** Attaches an XDP program by link. @returns the link's fd (closing it detaches), or `-errno`. */
export function createXdpLink(program: number, ifindex: number, flags: number): number {
  const options = new Uint8Array(BPF_LINK_CREATE_OPTS.size);
  const view = new DataView(options.buffer);
  view.setBigUint64(BPF_LINK_CREATE_OPTS.sz, BigInt(options.byteLength), true);
  view.setUint32(BPF_LINK_CREATE_OPTS.flags, flags, true);
  return libbpf().bpf_link_create(program, ifindex, UAPI.BPF_XDP, options);
}

/** Puts another program in the place of the one that a link holds: no packet meets none. @returns 0 or `-errno`. */
export function updateLink(link: number, program: number): number {
  return libbpf().bpf_link_update(link, program, null);
}

/**
 * Attaches a program of type tp_btf, which names its tracepoint. @returns the link's fd (closing it detaches), or
 * `-errno`.
 */
export function createTracepointLink(program: number): number {
  return libbpf().bpf_raw_tracepoint_open(null, program);
}

/** What the kernel says is attached to an interface. */
export interface XdpAttachment {
  readonly mode: "none" | "native" | "generic" | "hardware" | "several";
  readonly programId: number;
}

export function queryXdp(ifindex: number): XdpAttachment {
  const options = new Uint8Array(BPF_XDP_QUERY_OPTS.size);
  const view = new DataView(options.buffer);
  view.setBigUint64(BPF_XDP_QUERY_OPTS.sz, BigInt(options.byteLength), true);
  checked(libbpf().bpf_xdp_query(ifindex, 0, options), "bpf_xdp_query", `ask what is attached to interface ${ifindex}`);
  const mode = (["none", "native", "generic", "hardware"] as const)[options[BPF_XDP_QUERY_OPTS.attach_mode]!] ??
    "several";
  const ids = [BPF_XDP_QUERY_OPTS.prog_id, BPF_XDP_QUERY_OPTS.drv_prog_id, BPF_XDP_QUERY_OPTS.skb_prog_id];
  return { mode, programId: ids.map((offset) => view.getUint32(offset, true)).find((id) => id !== 0) ?? 0 };
}

/** What the kernel tells of a program or a link; undefined for an fd that could not be had. */
function objectInfo(fd: number): DataView | undefined {
  if (fd < 0) return undefined;
  const info = new Uint8Array(256);
  const result = libbpf().bpf_obj_get_info_by_fd(fd, info, new Uint32Array([info.byteLength]));
  return result < 0 ? undefined : new DataView(info.buffer);
}

/** The same, and closes the fd. */
function takeObjectInfo(fd: number): DataView | undefined {
  const info = objectInfo(fd);
  if (fd >= 0) closeFd(fd);
  return info;
}

/** The id of a program that is open here; 0 where the kernel does not tell. */
export function programIdOf(fd: number): number {
  return objectInfo(fd)?.getUint32(BPF_PROG_INFO.id, true) ?? 0;
}

/** The id of a map, program or link that is open here, among those of its kind; 0 where the kernel does not tell. */
export function objectIdOf(fd: number): number {
  const AT = 4; // in all three kinds of info, which begin with the type
  return objectInfo(fd)?.getUint32(AT, true) ?? 0;
}

/** What a link of XDP or tcx holds now; undefined where the kernel does not tell. */
export interface HeldByLink {
  readonly programId: number;
  /** 0: it was detached by force, or its interface is gone. */
  readonly ifindex: number;
}

export function heldByLink(fd: number): HeldByLink | undefined {
  const info = objectInfo(fd);
  if (info === undefined) return undefined;
  const { prog_id, xdp_ifindex } = BPF_LINK_INFO;
  return { programId: info.getUint32(prog_id, true), ifindex: info.getUint32(xdp_ifindex, true) };
}

/** The name of a loaded program, "" where the kernel does not tell. */
export function programName(id: number): string {
  const info = takeObjectInfo(libbpf().bpf_prog_get_fd_by_id(id));
  if (info === undefined) return "";
  const name = new Uint8Array(info.buffer, BPF_PROG_INFO.name, BPF_PROG_INFO.nameBytes);
  return new TextDecoder().decode(name.subarray(0, Math.max(name.indexOf(0), 0)));
}

/** The id of the link that holds an XDP program on an interface; undefined where it was attached without one. */
export function xdpLinkId(program: number, ifindex: number): number | undefined {
  const id = new Uint32Array(1);
  while (libbpf().bpf_link_get_next_id(id[0]!, id) === 0) {
    const info = takeObjectInfo(libbpf().bpf_link_get_fd_by_id(id[0]!));
    const field = (offset: number): number | undefined => info?.getUint32(offset, true);
    if (
      field(BPF_LINK_INFO.type) === UAPI.BPF_LINK_TYPE_XDP && field(BPF_LINK_INFO.prog_id) === program &&
      field(BPF_LINK_INFO.xdp_ifindex) === ifindex
    ) return id[0];
  }
  return undefined;
}

/** Detaches a program that no link holds. `flags` say in which mode it is attached. @returns 0 or `-errno`. */
export function detachXdp(ifindex: number, flags: number): number {
  return libbpf().bpf_xdp_detach(ifindex, flags, null);
}

/** Detaches the program of a link that is open here. @returns 0 or `-errno`. */
export function detachOpenLink(fd: number): number {
  return libbpf().bpf_link_detach(fd);
}

/** Detaches the program that a link holds. Who has the link open keeps it, empty. @returns 0 or `-errno`. */
export function detachLink(id: number): number {
  const fd = libbpf().bpf_link_get_fd_by_id(id);
  if (fd < 0) return fd;
  const result = libbpf().bpf_link_detach(fd);
  closeFd(fd);
  return result;
}

export interface TestRunOptions {
  /** The frame. */
  readonly data: Uint8Array<ArrayBuffer>;
  readonly repeat: number;
  /** Live: the frames really go where the verdict says. Otherwise the verdict is returned. */
  readonly live?: boolean;
  /** Frames per batch, live only. */
  readonly batchSize?: number;
  /** Gets the frame as the program leaves it; not with `live`. */
  readonly out?: Uint8Array;
}

/** libbpf is given the frame's address inside a struct, so the frame must not be on V8's own, moving heap. */
const testFrame = new Uint8Array(new ArrayBuffer(16384));
const testFrameOut = new Uint8Array(new ArrayBuffer(16384));

/** Runs a loaded XDP or tc program on a frame (BPF_PROG_TEST_RUN). @returns the verdict, or `-errno`. */
export function testRun(program: number, { data, repeat, live = false, batchSize = 0, out }: TestRunOptions): number {
  const options = new Uint8Array(BPF_TEST_RUN_OPTS.size);
  const view = new DataView(options.buffer);
  view.setBigUint64(BPF_TEST_RUN_OPTS.sz, BigInt(options.byteLength), true);
  testFrame.set(data);
  const pointer = Deno.UnsafePointer.value(Deno.UnsafePointer.of(testFrame));
  view.setBigUint64(BPF_TEST_RUN_OPTS.data_in, pointer, true);
  view.setUint32(BPF_TEST_RUN_OPTS.data_size_in, data.byteLength, true);
  view.setInt32(BPF_TEST_RUN_OPTS.repeat, repeat, true);
  if (live) {
    view.setUint32(BPF_TEST_RUN_OPTS.flags, UAPI.BPF_F_TEST_XDP_LIVE_FRAMES, true);
    view.setUint32(BPF_TEST_RUN_OPTS.batch_size, batchSize, true);
  }
  if (out !== undefined) {
    view.setBigUint64(BPF_TEST_RUN_OPTS.data_out, Deno.UnsafePointer.value(Deno.UnsafePointer.of(testFrameOut)), true);
    view.setUint32(BPF_TEST_RUN_OPTS.data_size_out, testFrameOut.byteLength, true);
  }
  const result = libbpf().bpf_prog_test_run_opts(program, options);
  out?.set(testFrameOut.subarray(0, view.getUint32(BPF_TEST_RUN_OPTS.data_size_out, true)));
  return result < 0 ? result : view.getUint32(BPF_TEST_RUN_OPTS.retval, true);
}

/** Runs a loaded program of type syscall once, without a context. @returns what it returns, or `-errno`. */
export function runProgram(program: number): number {
  const options = new Uint8Array(BPF_TEST_RUN_OPTS.size);
  const view = new DataView(options.buffer);
  view.setBigUint64(BPF_TEST_RUN_OPTS.sz, BigInt(options.byteLength), true);
  const result = libbpf().bpf_prog_test_run_opts(program, options);
  return result < 0 ? result : view.getInt32(BPF_TEST_RUN_OPTS.retval, true);
}

export function possibleCpus(): number {
  return checked(libbpf().libbpf_num_possible_cpus(), "libbpf_num_possible_cpus", "count the CPUs");
}

const SAMPLE = { parameters: ["pointer", "pointer", "usize"], result: "i32" } as const;

/** A consumer of a BPF ring buffer. Its callback runs on the calling thread, inside {@linkcode consume}. */
export class BpfRingBuffer implements Disposable {
  readonly #handle: Deno.PointerObject;
  readonly #callback: Deno.UnsafeCallback<typeof SAMPLE>;

  constructor(mapFd: number, onSample: (sample: DataView) => void) {
    this.#callback = new Deno.UnsafeCallback(SAMPLE, (_context, data, size) => {
      onSample(new DataView(Deno.UnsafePointerView.getArrayBuffer(data!, Number(size))));
      return 0;
    });
    const open = (): Deno.PointerValue => libbpf().ring_buffer__new(mapFd, this.#callback.pointer, null, null);
    const { errno } = libc();
    const handle = open();
    const code = errno[0]!;
    if (handle === null) {
      this.#callback.close();
      throw syscallError("ring_buffer__new", code, "open a BPF ring buffer");
    }
    this.#handle = handle;
  }

  /** Hands every waiting sample to the callback. */
  consume(): void {
    libbpf().ring_buffer__consume(this.#handle);
  }

  [Symbol.dispose](): void {
    libbpf().ring_buffer__free(this.#handle);
    this.#callback.close();
  }
}
