/**
 * Attaching to what leaves by an interface: by bpf_link where the kernel has tcx (6.6), so that it goes with the
 * process; by a filter of the qdisc clsact where it is older. Such a filter stays when the process is killed, and is
 * removed at the next start.
 *
 * @module
 */
import { UnsupportedError } from "../errors.ts";
import { ERRNO, syscallError } from "../ffi/errno.ts";
import { heldByLink } from "../ffi/libbpf.ts";
import { closeFd } from "../ffi/libc.ts";
import { attachTcEgress, createClsact, createTcxEgressLink, detachTcEgress } from "../ffi/tc_attach.ts";
import { removeClsact, tcFilters } from "./tc_filters.ts";

/** Name of the program, as the kernel has it. */
export const ANSWER_PROGRAM = "xdpsteer_answer";
/** Behind all filters that are not told where to stand: "xs" in ASCII. */
const PLACE = { handle: 1, priority: 0x7873 } as const;
/** What the kernel says where it has no tcx. */
const NO_TCX: readonly number[] = [ERRNO.EINVAL, ERRNO.EOPNOTSUPP];
/** What it says where it has no clsact or no BPF filters. */
const NO_TC: readonly number[] = [ERRNO.ENOENT, ERRNO.EOPNOTSUPP, ERRNO.EINVAL];

export type TcWay = "tcx" | "clsact";

export class TcLink implements Disposable {
  #fd: number;

  private constructor(
    readonly way: TcWay,
    fd: number,
    private readonly ifindex: number,
    /** True where clsact was not there before. */
    private readonly ownsClsact: boolean,
  ) {
    this.#fd = fd;
  }

  /**
   * Attaches a program to what leaves by an interface, behind all that is there.
   *
   * @param ways Those to try, in this order.
   * @throws {UnsupportedError} where the kernel has neither.
   */
  static attach(
    program: number,
    ifindex: number,
    interfaceName: string,
    ways: readonly TcWay[] = ["tcx", "clsact"],
  ): TcLink {
    const what = `attach to what leaves by interface "${interfaceName}"`;
    if (ways.includes("tcx")) {
      const fd = createTcxEgressLink(program, ifindex);
      if (fd >= 0) return new TcLink("tcx", fd, ifindex, false);
      if (!NO_TCX.includes(-fd)) throw syscallError("bpf_link_create(BPF_TCX_EGRESS)", -fd, what);
    }
    removeLeftOver(ifindex);
    const created = createClsact(ifindex);
    if (created < 0 && created !== -ERRNO.EEXIST) throw noTc("RTM_NEWQDISC(clsact)", -created, what);
    const result = attachTcEgress(program, ifindex, PLACE);
    if (result < 0) {
      if (created === 0) removeClsact(ifindex);
      throw noTc("RTM_NEWTFILTER(bpf)", -result, what);
    }
    return new TcLink("clsact", -1, ifindex, created === 0);
  }

  /** False where somebody else has detached it. */
  get isAttached(): boolean {
    if (this.way === "clsact") return tcFilters(this.ifindex)?.some(isOurs) ?? false;
    const held = heldByLink(this.#fd);
    return held === undefined || held.ifindex !== 0;
  }

  /** Detaches, where it is still attached. */
  close(): void {
    if (this.way === "tcx") {
      if (this.#fd >= 0) closeFd(this.#fd);
      this.#fd = -1;
      return;
    }
    removeFilter(this.ifindex, this.ownsClsact);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Removes what a process that was killed has left on an interface. @returns whether there was anything. */
export function removeLeftOver(ifindex: number): boolean {
  return removeFilter(ifindex, true);
}

/** @param withClsact Take clsact away too, where nothing else hangs on it. */
function removeFilter(ifindex: number, withClsact: boolean): boolean {
  const filters = tcFilters(ifindex);
  if (filters === undefined || !filters.some(isOurs)) return false;
  detachTcEgress(ifindex, PLACE);
  if (withClsact && filters.every(isOurs)) removeClsact(ifindex);
  return true;
}

function isOurs({ side, kind, name }: { side: string; kind: string; name: string }): boolean {
  return side === "egress" && kind === "bpf" && (name === ANSWER_PROGRAM || name.startsWith(`${ANSWER_PROGRAM}:`));
}

function noTc(call: string, errno: number, what: string): Error {
  const error = syscallError(call, errno, what);
  if (!NO_TC.includes(errno)) return error;
  return new UnsupportedError(`${error.message}: the kernel has neither tcx nor BPF filters`, {
    cause: error,
    hint: "action deliver needs Linux 6.6, or CONFIG_NET_SCH_INGRESS, CONFIG_NET_CLS_BPF and CONFIG_NET_CLS_ACT; " +
      "have the program listen on the listed port, and leave its packets alone with action pass",
  });
}
