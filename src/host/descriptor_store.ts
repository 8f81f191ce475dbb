/**
 * The service manager's descriptor store: what it keeps for a process, and gives to the one that it starts after a
 * crash, each with a name (sd_notify(3), FDSTORE; sd_listen_fds(3)).
 *
 * @module
 */
import { SteerError } from "../errors.ts";
import { pause } from "../ffi/async_poll.ts";
import { type DescriptorPost, FIRST_PASSED } from "../ffi/descriptors.ts";
import { closeFd, openSocketPair } from "../ffi/libc.ts";
import { hasHungUp } from "../ffi/process.ts";

export interface KeptDescriptor {
  readonly name: string;
  readonly fd: number;
}

/** The variables of sd_listen_fds(3). */
type Passing = Partial<Readonly<Record<string, string>>>;

/** In which the service manager has to take a message: it may be busy. */
const TAKE_MS = 5000;
const STEP_MS = 1;

export class DescriptorStore implements Disposable {
  /**
   * @param room How many descriptors it keeps at most.
   * @param post To its socket. Owned by the object.
   */
  constructor(readonly room: number, private readonly post: Pick<DescriptorPost, "send"> & Disposable) {}

  /**
   * Has a descriptor kept, which stays open here. One of a file that is kept already is not kept again.
   *
   * @throws {SteerError} where the service manager takes no messages.
   */
  keep({ name, fd }: KeptDescriptor): Promise<void> {
    // Without FDPOLL it would be let go of as soon as anything happens to it: all sockets hang up one day.
    return this.#send(`FDSTORE=1\nFDNAME=${name}\nFDPOLL=0`, fd);
  }

  /** Has it close those of a name. */
  remove(name: string): Promise<void> {
    return this.#send(`FDSTOREREMOVE=1\nFDNAME=${name}`);
  }

  /** Resolves when it has done all that it was told (sd_notify(3), BARRIER), or does not answer for long. */
  async settled(): Promise<void> {
    const [mine, theirs] = openSocketPair();
    try {
      await this.#send("BARRIER=1", theirs);
    } finally {
      closeFd(theirs);
    }
    const end = performance.now() + TAKE_MS;
    while (!hasHungUp(mine) && performance.now() < end) await pause(STEP_MS);
    closeFd(mine);
  }

  [Symbol.dispose](): void {
    this.post[Symbol.dispose]();
  }

  async #send(message: string, fd?: number): Promise<void> {
    const end = performance.now() + TAKE_MS;
    while (!this.post.send(message, fd)) {
      if (performance.now() > end) throw new SteerError(`The service manager takes no message for ${TAKE_MS / 1000} s`);
      await pause(STEP_MS);
    }
  }
}

/**
 * What was passed at the start of a process: nothing where the variables are another one's.
 *
 * @param pid This process's.
 */
export function passedDescriptors(variables: Passing, pid: number): KeptDescriptor[] {
  const { LISTEN_PID: owner, LISTEN_FDS: count = "", LISTEN_FDNAMES: names = "" } = variables;
  if (owner !== `${pid}` || !/^[1-9][0-9]{0,5}$/.test(count)) return [];
  const words = names.split(":");
  return Array.from({ length: Number(count) }, (_, index) => ({ name: words[index] ?? "", fd: FIRST_PASSED + index }));
}
