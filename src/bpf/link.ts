/**
 * Attaching to an interface by bpf_link: the kernel detaches when the link's fd closes, also when the process is
 * killed.
 *
 * @module
 */
import { SteerError, UnsupportedError } from "../errors.ts";
import { ERRNO, errnoName, syscallError } from "../ffi/errno.ts";
import { hasEthernetHeaders, interfaceFacts } from "../ffi/interface_facts.ts";
import { closeFd } from "../ffi/libc.ts";
import { createXdpLink, detachOpenLink, heldByLink, programIdOf, queryXdp, updateLink } from "../ffi/libbpf.ts";
import { UAPI } from "../ffi/uapi.ts";
import { attachmentOf, describeAttachment, removeCommand } from "./attachment.ts";

export type AttachMode = "native" | "generic";

const FLAGS: Readonly<Record<AttachMode, number>> = {
  native: UAPI.XDP_FLAGS_DRV_MODE,
  generic: UAPI.XDP_FLAGS_SKB_MODE,
};

/** Refusals of native XDP that `auto` answers with generic. */
const NO_NATIVE: readonly number[] = [ERRNO.EOPNOTSUPP, ERRNO.EINVAL, ERRNO.ERANGE];

export class XdpLink implements Disposable {
  #fd: number;

  private constructor(
    fd: number,
    private programId: number,
    /** What the kernel says is attached, read back after attaching. */
    readonly granted: AttachMode,
    /** Why native was not granted where it was tried first, or "". */
    readonly fallbackReason: string,
  ) {
    this.#fd = fd;
  }

  /**
   * Attaches `program` to an interface. Fails, and changes nothing, where another program sits on it already.
   *
   * @param wanted `auto` tries native first, then generic.
   * @throws {SteerError} that names the other program.
   * @throws {UnsupportedError} where the driver has no native XDP and nothing else was allowed, and for an interface
   * without Ethernet headers.
   */
  static attach(program: number, ifindex: number, interfaceName: string, wanted: AttachMode | "auto"): XdpLink {
    refuseOtherFrames(interfaceName);
    refuseOccupied(ifindex, interfaceName);
    const what = `attach to interface "${interfaceName}"`;
    let fallbackReason = "";
    for (const mode of wanted === "auto" ? (["native", "generic"] as const) : [wanted]) {
      const fd = createXdpLink(program, ifindex, FLAGS[mode]);
      if (fd >= 0) return new XdpLink(fd, programIdOf(program), readBack(ifindex, interfaceName), fallbackReason);
      if (fd === -ERRNO.EBUSY || fd === -ERRNO.EEXIST) refuseOccupied(ifindex, interfaceName);
      const error = syscallError("bpf_link_create", -fd, `${what} in ${mode} mode`);
      if (!NO_NATIVE.includes(-fd)) throw error;
      if (wanted !== "auto") {
        throw new UnsupportedError(error.message, { cause: error, ...(error.hint ? { hint: error.hint } : {}) });
      }
      fallbackReason = `no native XDP (${errnoName(-fd)})`;
    }
    throw new UnsupportedError(`Cannot ${what}: neither native nor generic XDP is possible here`);
  }

  /**
   * Takes over a link of another process, with the program that it holds.
   *
   * @param fd Closed where this throws.
   * @throws {SteerError} where it does not hold one on this interface.
   */
  static adopt(fd: number, ifindex: number, interfaceName: string, fallbackReason: string): XdpLink {
    const held = heldByLink(fd);
    if (held?.ifindex === ifindex) {
      return new XdpLink(fd, held.programId, readBack(ifindex, interfaceName), fallbackReason);
    }
    closeFd(fd);
    throw new SteerError(`The link that was handed over is not one on interface "${interfaceName}"`);
  }

  /** For a process that comes after this one. */
  get fd(): number {
    return this.#fd;
  }

  /** Puts another program in its place: no packet meets none. @throws {SyscallError} */
  replace(program: number): void {
    const result = updateLink(this.#fd, program);
    if (result < 0) throw syscallError("bpf_link_update", -result, "put another XDP program in place");
    this.programId = programIdOf(program);
  }

  /** Why the program is not where it was attached, though nothing here has detached it; undefined while it is. */
  get fault(): string | undefined {
    const held = heldByLink(this.#fd);
    if (held === undefined) return undefined;
    if (held.ifindex === 0) return "the XDP program was detached by force";
    return held.programId === this.programId ? undefined : "another XDP program was put in place of ours";
  }

  /** Detaches, whoever else has the link; packets go to the kernel stack from now on. */
  detach(): void {
    if (this.#fd >= 0) detachOpenLink(this.#fd);
    this.close();
  }

  /** Lets go of it: it is detached where no other process has it. */
  close(): void {
    if (this.#fd < 0) return;
    closeFd(this.#fd);
    this.#fd = -1;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * The program reads Ethernet headers: it would take the first bytes of an IP packet for one.
 *
 * @throws {UnsupportedError} where the packets of an interface have none.
 */
export function refuseOtherFrames(interfaceName: string): void {
  const facts = interfaceFacts(interfaceName);
  if (facts === undefined || hasEthernetHeaders(facts)) return;
  throw new UnsupportedError(
    `Cannot attach to interface "${interfaceName}": its packets have no Ethernet header (link type ${facts.hardware})`,
    { hint: "steer the Ethernet interface that they arrive by; ip -o link | grep link/ether lists those there are" },
  );
}

function refuseOccupied(ifindex: number, interfaceName: string): void {
  const attachment = attachmentOf(ifindex);
  if (attachment === undefined) return;
  const { link, program } = attachment;
  throw new SteerError(
    `Cannot attach to interface "${interfaceName}": the ${describeAttachment(attachment)} sits on it already`,
    {
      cause: syscallError("bpf_link_create", ERRNO.EBUSY, `attach to interface "${interfaceName}"`),
      hint: link === undefined && program === ""
        ? `as root, xdpsteer doctor --interface ${interfaceName} says whose it is, and how to take it off`
        : link === undefined
        ? `stop the program that attached it or, if nothing needs it, remove it: ${
          removeCommand(interfaceName, attachment)
        }`
        : `a process holds it by link ${link}; who, and how to end it, says: ` +
          `xdpsteer detach --interface ${interfaceName}`,
    },
  );
}

function readBack(ifindex: number, interfaceName: string): AttachMode {
  const { mode } = queryXdp(ifindex);
  if (mode === "native" || mode === "generic") return mode;
  throw new SteerError(`Cannot attach to interface "${interfaceName}": the kernel reports mode ${mode} afterwards`);
}
