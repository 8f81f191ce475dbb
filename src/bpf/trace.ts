/**
 * What the kernel itself says of XDP on the steered interfaces: its tracepoints xdp_redirect_err and xdp_exception,
 * limited to one event a second for each interface, kind, code and CPU.
 *
 * @module
 */
import objectBytes from "../../build/trace.bpf.o" with { type: "bytes" };
import { errnoName, syscallError } from "../ffi/errno.ts";
import {
  type BpfObjectHandle,
  BpfRingBuffer,
  closeObject,
  createTracepointLink,
  findMap,
  loadObject,
  lookupRange,
  mapFd,
  possibleCpus,
  programFd,
  setInitialValue,
  setMaxEntries,
  updateElement,
} from "../ffi/libbpf.ts";
import { closeFd } from "../ffi/libc.ts";
import { EventAccount } from "./event_account.ts";
import { EVENT_LIMIT } from "./layout.gen.ts";
import { EVENT, KIND, LIMIT, PARAMETERS } from "./trace_layout.gen.ts";

/** A redirect that failed: the packet was dropped. */
export interface RedirectError {
  readonly kind: "redirect_err";
  /** Of the interface, in the list that was given to {@linkcode KernelTrace}. */
  readonly interface: number;
  /** `ENOBUFS` */
  readonly errno: string;
  /** Of the map that was to say where to; no map's id where the program redirected without one. */
  readonly mapId: number;
  /** In that map. */
  readonly index: number;
  /** Events of this interface and errno that were not reported since the last one that was. */
  readonly suppressed: number;
}

/** A program returned what makes the kernel drop the packet. */
export interface XdpException {
  readonly kind: "exception";
  readonly interface: number;
  /** What it returned: `XDP_ABORTED`, or the number where that is no verdict. */
  readonly act: string;
  readonly suppressed: number;
}

export type TraceEvent = RedirectError | XdpException;

/** What was held back after the last event of a flood. */
export interface TraceRest {
  readonly interface: number;
  /** The errno or the act; `other codes` stands for all that are too large to be counted on their own. */
  readonly what: string;
  readonly suppressed: number;
}

/** An interface that is watched. */
export interface Watched {
  /** 0 while it is gone. */
  readonly ifindex: number;
  /** Of its xsk_map: redirects by it are known wherever the device is. */
  readonly mapId: number;
}

/** Where the programs read what they watch. */
const PARAMETERS_MAP = ".data.parameters";
const ACT_NAMES = ["XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT"];
const PROGRAMS = ["redirect_err", "exception"];

export class KernelTrace implements Disposable {
  readonly #handle: BpfObjectHandle;
  readonly #links: number[] = [];
  readonly #account = new EventAccount();
  readonly #limitsFd: number;
  readonly #parametersFd: number;
  readonly #cpus = possibleCpus();
  readonly #ring: BpfRingBuffer;

  private constructor(handle: BpfObjectHandle, onEvent: (event: TraceEvent) => void) {
    this.#handle = handle;
    try {
      this.#limitsFd = mapFd(findMap(handle, "trace_limits"));
      this.#parametersFd = mapFd(findMap(handle, PARAMETERS_MAP));
      for (const name of PROGRAMS) {
        const link = createTracepointLink(programFd(handle, name));
        if (link < 0) throw syscallError("bpf_raw_tracepoint_open", -link, `attach to the tracepoint xdp:xdp_${name}`);
        this.#links.push(link);
      }
      this.#ring = new BpfRingBuffer(
        mapFd(findMap(handle, "trace_events")),
        (sample) => onEvent(this.#decode(sample)),
      );
    } catch (error) {
      this.#detach();
      throw error;
    }
  }

  /**
   * Loads and attaches the programs.
   *
   * @param interfaces Those after the first 64 are not watched.
   * @param netns Inode number of the network namespace that the interfaces are in.
   * @throws {SteerError} where the kernel has no BTF, is too old, or does not let this process.
   */
  static async open(
    interfaces: readonly Watched[],
    onEvent: (event: TraceEvent) => void,
    netns = ownNetns(),
  ): Promise<KernelTrace> {
    const watched = interfaces.slice(0, LIMIT.INTERFACES);
    const handle = await loadObject(objectBytes as Uint8Array<ArrayBuffer>, (object) => {
      setInitialValue(findMap(object, PARAMETERS_MAP), parameters(watched, netns));
      setMaxEntries(findMap(object, "trace_limits"), LIMIT.SLOTS * watched.length);
    });
    return new KernelTrace(handle, onEvent);
  }

  /** Watches the same interfaces, in the same order, with the indexes that they have now. */
  follow(interfaces: readonly Watched[], netns = ownNetns()): void {
    const key = new Uint8Array(4);
    const result = updateElement(this.#parametersFd, key, parameters(interfaces.slice(0, LIMIT.INTERFACES), netns));
    if (result < 0) throw syscallError("bpf_map_update_elem", -result, "say which interfaces are watched");
  }

  /** Packets that were lost because a redirect by the xsk_map of an interface failed, by errno. */
  redirectErrors(place: number): Map<string, number> {
    const { OWN, SLOTS } = LIMIT;
    const errors = new Map<string, number>();
    if (place >= LIMIT.INTERFACES) return errors;
    const bytes = EVENT_LIMIT.size * this.#cpus;
    const first = place * SLOTS + OWN;
    const counts = new DataView(
      lookupRange(this.#limitsFd, first, SLOTS - OWN, bytes, "read the errors of redirects").buffer,
    );
    for (let slot = OWN; slot < SLOTS; slot++) {
      let sum = 0;
      for (let cpu = 0; cpu < this.#cpus; cpu++) {
        sum += Number(counts.getBigUint64((slot - OWN) * bytes + cpu * EVENT_LIMIT.size + EVENT_LIMIT.count, true));
      }
      if (sum > 0) errors.set(codeName(slot), sum);
    }
    return errors;
  }

  /** Hands every waiting event to the callback. */
  consume(): void {
    this.#ring.consume();
  }

  /** What was held back since the last event of each flood that has ended; of all floods where `now` is true. */
  rest(now = false): TraceRest[] {
    return this.#account.settle(this.#limitsFd, now).map(({ slot, suppressed }) => {
      const code = slot % LIMIT.SLOTS;
      return { interface: Math.floor(slot / LIMIT.SLOTS), what: codeName(code), suppressed };
    });
  }

  #decode(sample: DataView): TraceEvent {
    const field = (offset: number): number => sample.getUint32(offset, true);
    const count = Number(sample.getBigUint64(EVENT.count, true));
    const suppressed = this.#account.enter(field(EVENT.slot), field(EVENT.cpu), count);
    const place = field(EVENT.interface);
    const code = field(EVENT.code);
    if (field(EVENT.kind) === KIND.EXCEPTION) {
      return { kind: "exception", interface: place, act: actName(code), suppressed };
    }
    return {
      kind: "redirect_err",
      interface: place,
      errno: errnoName(code),
      mapId: field(EVENT.mapId),
      index: field(EVENT.index),
      suppressed,
    };
  }

  #detach(): void {
    for (const link of this.#links.splice(0)) closeFd(link);
    closeObject(this.#handle);
  }

  [Symbol.dispose](): void {
    this.#ring[Symbol.dispose]();
    this.#detach();
  }
}

function ownNetns(): number {
  return Deno.statSync("/proc/self/ns/net").ino ?? 0;
}

function parameters(interfaces: readonly Watched[], netns: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(PARAMETERS.size);
  const view = new DataView(bytes.buffer);
  view.setUint32(PARAMETERS.netns, netns, true);
  view.setUint32(PARAMETERS.interfaces, interfaces.length, true);
  interfaces.forEach(({ ifindex, mapId }, place) => {
    view.setUint32(PARAMETERS.ifindexes + 4 * place, ifindex, true);
    view.setUint32(PARAMETERS.mapIds + 4 * place, mapId, true);
  });
  return bytes;
}

function actName(act: number): string {
  return ACT_NAMES[act] ?? `${act}`;
}

/** What is counted in one of an interface's slots. */
function codeName(code: number): string {
  if (code === LIMIT.ACTS - 1 || code === LIMIT.OWN - 1 || code === LIMIT.SLOTS - 1) return "other codes";
  if (code < LIMIT.ACTS) return actName(code);
  return errnoName(code - (code < LIMIT.OWN ? LIMIT.ACTS : LIMIT.OWN));
}

/** The id of a map that is open here, as {@linkcode RedirectError} names it. */
export function mapIdOf(fd: number): number {
  const text = Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`);
  return Number(/^map_id:\s*(\d+)$/m.exec(text)?.[1] ?? NaN);
}
