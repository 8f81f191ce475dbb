/**
 * `xdpsteer detach`: takes the XDP program off an interface, whoever put it there. Needs no running xdpsteer.
 *
 * @module
 */
import { type Attachment, attachmentOf, describeAttachment, type LinkHolder, linkHolders } from "../bpf/attachment.ts";
import { requireInterface } from "../host/interface_index.ts";
import { messageOf, SteerError } from "../errors.ts";
import { ERRNO, syscallError } from "../ffi/errno.ts";
import { detachLink, detachXdp, queryXdp } from "../ffi/libbpf.ts";
import { UAPI } from "../ffi/uapi.ts";
import { print, printJson } from "./output.ts";

export interface DetachOptions {
  readonly interface: string;
  /** End the processes that hold it. */
  readonly stop?: boolean;
  /** Detach under the feet of the processes that hold it. */
  readonly force?: boolean;
  readonly json?: boolean;
}

/** What is attached to an interface, and by whom. */
interface Attached extends Attachment {
  /** Processes that keep the link open, as far as this user can see them. */
  readonly holders: readonly LinkHolder[];
}

/** Modes that each kind of attachment is looked for in, to be taken off. */
const FLAGS: Readonly<Record<Attached["mode"], readonly number[]>> = {
  native: [UAPI.XDP_FLAGS_DRV_MODE],
  generic: [UAPI.XDP_FLAGS_SKB_MODE],
  hardware: [UAPI.XDP_FLAGS_HW_MODE],
  several: [UAPI.XDP_FLAGS_DRV_MODE, UAPI.XDP_FLAGS_SKB_MODE, UAPI.XDP_FLAGS_HW_MODE],
};
/** A process that was asked to end has this long to detach. */
const STOP_MS = 5000;
const STEP_MS = 20;

/** @throws {SteerError} when it stays attached: a process holds it, or this user may not detach it. */
export async function detach(options: DetachOptions): Promise<void> {
  const { interface: name, json = false } = options;
  const { ifindex } = requireInterface(name);
  const found = look(ifindex);
  if (found !== undefined) await takeOff(found, ifindex, options);
  if (json) {
    const { link = null, ...attached } = found ?? {};
    const what = found === undefined ? null : { ...attached, link };
    printJson({ interface: name, detached: found !== undefined, attached: what });
  } else if (found === undefined) {
    print(`no XDP program is attached to "${name}"`);
  } else {
    print(`${describeAttachment(found)} is detached from "${name}": its packets go to the kernel stack`);
    if (options.force && found.holders.length > 0) {
      print(`${holdersText(found.holders)} runs on: an xdpsteer attaches its program again within a second`);
    }
  }
}

function look(ifindex: number): Attached | undefined {
  const attachment = attachmentOf(ifindex);
  return attachment === undefined ? undefined : { ...attachment, holders: linkHolders(attachment.link) };
}

async function takeOff(found: Attached, ifindex: number, options: DetachOptions): Promise<void> {
  const what = `detach the XDP program from interface "${options.interface}"`;
  const { link, holders } = found;
  if (link === undefined) {
    for (const flags of FLAGS[found.mode]) {
      const result = detachXdp(ifindex, flags);
      const absent = found.mode === "several" &&
        [ERRNO.ENOENT, ERRNO.EINVAL, ERRNO.EOPNOTSUPP].some((no) => -no === result);
      if (result < 0 && !absent) throw syscallError("bpf_xdp_detach", -result, what);
    }
  } else if (options.force) {
    const result = detachLink(link);
    if (result < 0) throw syscallError("bpf_link_detach", -result, what);
  } else if (options.stop && holders.length > 0) {
    for (const holder of holders) end(holder);
    await untilGone(found, ifindex, options.interface);
  } else {
    throw held(found, options.interface);
  }
  const left = attachmentOf(ifindex);
  // A running xdpsteer may have attached the same program again by now, by another link.
  if (left !== undefined && left.link === link && left.programId === found.programId) {
    throw new SteerError(`Cannot ${what}: it is still there`);
  }
}

function end(holder: LinkHolder): void {
  try {
    Deno.kill(holder.pid, "SIGTERM");
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return; // it has ended meanwhile
    throw new SteerError(`Cannot end ${holdersText([holder])}: ${messageOf(cause)}`, { cause, hint: "run as root" });
  }
}

async function untilGone({ programId, holders }: Attached, ifindex: number, name: string): Promise<void> {
  const deadline = performance.now() + STOP_MS;
  while (queryXdp(ifindex).programId === programId) {
    if (performance.now() > deadline) {
      throw new SteerError(
        `${holdersText(holders)} did not detach from "${name}" within ${STOP_MS / 1000} s of SIGTERM`,
        {
          hint: `xdpsteer detach --interface ${name} --force does not wait for it`,
        },
      );
    }
    await new Promise((resolve) => setTimeout(resolve, STEP_MS));
  }
}

function held(found: Attached, name: string): SteerError {
  const command = `xdpsteer detach --interface ${name}`;
  const who = found.holders.length > 0
    ? `${holdersText(found.holders)} by link ${found.link}`
    : `link ${found.link}, which is pinned in a bpf file system or open in a process that cannot be seen from here`;
  const stop = found.holders.length > 0 ? `${command} --stop ends that process in good order; ` : "";
  return new SteerError(`${describeAttachment(found)} on "${name}" is held by ${who}`, {
    hint: `${stop}${command} --force detaches at once, and a running xdpsteer attaches again`,
  });
}

function holdersText(holders: readonly LinkHolder[]): string {
  return holders.map(({ pid, command }) => `${command} (pid ${pid})`).join(", ");
}
