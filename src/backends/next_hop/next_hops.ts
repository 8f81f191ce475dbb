/**
 * Next hops from the kernel: which device, addresses and tags a packet to a destination leaves with. The kernel's own
 * route lookup decides, so its rules, metrics and multipath hold; devices and neighbours are kept here and follow its
 * word.
 *
 * @module
 */
import { AsyncPoll } from "../../ffi/async_poll.ts";
import { messageOf } from "../../errors.ts";
import { ERRNO, syscallError } from "../../ffi/errno.ts";
import { NetlinkSocket } from "../../ffi/netlink.ts";
import { NETLINK } from "../../ffi/netlink_uapi.ts";
import { UAPI } from "../../ffi/uapi.ts";
import { linksRequest } from "../../host/link_messages.ts";
import { logger } from "../../log.ts";
import { type FrameDevice, hasFailed, KernelTables, type NextHop } from "./kernel_tables.ts";
import { canSolicit, pokeDestination } from "./poke.ts";
import { MAX_ROUTES, type PrefixRoute, PrefixRoutes, routesRequest } from "./prefix_routes.ts";
import { neighboursRequest, parseRoute, type Route, routeRequest, useNeighbourRequest } from "./rtnetlink.ts";

export type { FrameDevice, NextHop } from "./kernel_tables.ts";
export type { PrefixRoute } from "./prefix_routes.ts";
export type { VlanTag } from "../../host/link_messages.ts";

const GROUPS = [
  NETLINK.RTNLGRP_LINK,
  NETLINK.RTNLGRP_NEIGH,
  NETLINK.RTNLGRP_IPV4_IFADDR,
  NETLINK.RTNLGRP_IPV6_IFADDR,
  NETLINK.RTNLGRP_IPV4_ROUTE,
  NETLINK.RTNLGRP_IPV6_ROUTE,
  NETLINK.RTNLGRP_IPV4_RULE,
  NETLINK.RTNLGRP_IPV6_RULE,
  NETLINK.RTNLGRP_NEXTHOP,
];

/** What the kernel refuses a lookup with where there is no way: unreachable, blackhole, prohibit. */
const NO_WAY: ReadonlySet<number> = new Set([ERRNO.ENETUNREACH, ERRNO.EHOSTUNREACH, ERRNO.EINVAL, ERRNO.EACCES]);
/** States in which the kernel itself sees to the neighbour, or has nothing to see to. */
const CARED_FOR = NETLINK.NUD_REACHABLE | NETLINK.NUD_PERMANENT | NETLINK.NUD_NOARP | NETLINK.NUD_INCOMPLETE |
  NETLINK.NUD_DELAY | NETLINK.NUD_PROBE;

/** Between two looks at what the kernel told: a storm of changes becomes at most 100 batches a second. */
const BATCH_MS = 10;
/** Batches of messages read before other work gets its turn. */
const MAX_RECEIVES = 4096;
const MAX_DUMPS = 5;
/** A wait that nothing ends goes on after this time. */
const MAX_WAIT_MS = 60_000;
/** After dumps that were interrupted again and again. */
const INTERRUPTED_MS = 100;
/** After a failure that nothing but time can help. */
const RETRY_MS = 1000;
/** Routes are listed for at most one part of so many of the time. */
const LISTING_PART = 20;

const LOOK_UP = "look up a route";
const LIST_ROUTES = "list the routes";
const log = logger("next_hop");
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Why there is no next hop. `none`: the kernel has no route; `own`: it is an address of this box; `group`: a broadcast
 * or multicast address; `refused`: a route says unreachable, blackhole or prohibit; `no_ethernet`: the route leads out
 * of no Ethernet interface, or wraps its packets.
 */
export type NoRoute = "none" | "own" | "group" | "refused" | "no_ethernet";

const NO_ROUTE_OF_TYPE: ReadonlyMap<number, NoRoute> = new Map([
  [NETLINK.RTN_UNICAST, "no_ethernet"],
  [NETLINK.RTN_LOCAL, "own"],
  [NETLINK.RTN_BROADCAST, "group"],
  [NETLINK.RTN_MULTICAST, "group"],
]);

/** Ways to destinations: what {@linkcode NextHops} knows, and what tests make up. */
export interface NextHopSource extends Disposable {
  lookup(destination: Uint8Array): NextHop | undefined;
  /** Why the last lookup found none. */
  readonly noRoute?: NoRoute;
  devices(): readonly FrameDevice[];
  routes(): readonly PrefixRoute[];
  provoke(nextHop: NextHop, destination: Uint8Array): void;
}

/** The next hops of the network namespace that the process is in. */
export class NextHops implements NextHopSource {
  noRoute: NoRoute = "none";
  #tables: KernelTables;
  /** True where the tables may lack something the kernel has. */
  #incomplete = false;
  #disposed = false;
  #telling: ReturnType<typeof setTimeout> | undefined;
  #routes: readonly PrefixRoute[] = [];
  /** True where those of the kernel may be others by now. */
  #routesChanged = true;
  #listAgainMs = -Infinity;
  #listing: ReturnType<typeof setTimeout> | undefined;
  #tooMany = false;
  readonly #onChange: () => void;
  readonly #requests: NetlinkSocket;
  readonly #events: NetlinkSocket;
  readonly #poll: AsyncPoll;

  private constructor(onChange: () => void) {
    this.#onChange = onChange;
    using opened = new DisposableStack();
    // Subscribed first, so that nothing can change unnoticed after it was dumped.
    this.#events = opened.use(new NetlinkSocket(GROUPS));
    this.#requests = opened.use(new NetlinkSocket());
    this.#tables = this.#dump();
    this.#poll = new AsyncPoll();
    opened.move();
    this.#follow();
  }

  /**
   * Reads the kernel's devices and neighbours, and follows what changes of them and of its routes. Takes no privilege.
   *
   * @param options.onChange Called once for a batch of changes, any of which may have changed the answer of
   * {@linkcode lookup}, {@linkcode devices} or {@linkcode neighbourFailed}; never from within a call of this object,
   * and never after it was disposed of.
   * @throws {SyscallError}
   */
  static open({ onChange }: { readonly onChange: () => void }): NextHops {
    return new NextHops(onChange);
  }

  /**
   * Asks the kernel for the way to a destination: one system call to ask and one to hear.
   *
   * @param destination 4 or 16 bytes.
   * @returns Undefined where there is none over Ethernet: unreachable, blackhole, prohibited, multicast, or this box
   * itself.
   * @throws {SyscallError}
   */
  lookup(destination: Uint8Array): NextHop | undefined {
    // The kernel's answer may name a device that it has told of and that was not read yet.
    if (this.#read()) this.#tellSoon();
    let route: Route | undefined;
    const { errno } = this.#requests.request(routeRequest(destination), LOOK_UP, ({ type, body }) => {
      if (type === NETLINK.RTM_NEWROUTE) route = parseRoute(body);
    });
    if (errno !== 0 && !NO_WAY.has(errno)) throw syscallError("RTM_GETROUTE", errno, LOOK_UP);
    if (route === undefined) {
      this.noRoute = errno === ERRNO.ENETUNREACH ? "none" : "refused";
      return undefined;
    }
    this.noRoute = NO_ROUTE_OF_TYPE.get(route.type) ?? "refused";
    return this.#tables.nextHop(route, destination);
  }

  /** All devices by which frames can come, as the kernel has told so far. */
  devices(): readonly FrameDevice[] {
    return this.#tables.devices();
  }

  /**
   * The routes of the main table; none where there are more than {@linkcode MAX_ROUTES}. Where they change faster than
   * they can be listed, those of a moment ago.
   *
   * @throws {SyscallError}
   */
  routes(): readonly PrefixRoute[] {
    if (this.#read()) this.#tellSoon();
    const startMs = performance.now();
    if (!this.#routesChanged) return this.#routes;
    if (startMs < this.#listAgainMs) {
      this.#listing ??= setTimeout(() => {
        this.#listing = undefined;
        this.#tellSoon();
      }, this.#listAgainMs - startMs);
      return this.#routes;
    }
    this.#routesChanged = false;
    const routes = new PrefixRoutes();
    let interrupted = false;
    for (const family of [NETLINK.AF_INET, NETLINK.AF_INET6]) {
      const answer = this.#requests.request(routesRequest(family), LIST_ROUTES, (message) => routes.apply(message));
      // Without IPv6 the kernel does not know the family.
      if (answer.errno !== 0 && family === NETLINK.AF_INET) {
        throw syscallError("netlink dump", answer.errno, LIST_ROUTES);
      }
      interrupted ||= answer.interrupted;
    }
    this.#routesChanged ||= interrupted;
    this.#listAgainMs = performance.now() + LISTING_PART * (performance.now() - startMs);
    if (!this.#tooMany && routes.all === undefined) {
      log.info("There are more than {most} routes: MTUs of routes to clients are not looked at", { most: MAX_ROUTES });
    }
    this.#tooMany = routes.all === undefined;
    return this.#routes = routes.all ?? [];
  }

  /**
   * Makes the kernel look for the neighbour of a next hop where that is missing or failed, and confirm it where it is
   * stale: frames that xdpsteer sends are none the kernel knows of, so that it would forget a neighbour only they need.
   * Does nothing where the kernel is at it already, or knows the neighbour: call it as often as you like. What comes of
   * it is a change.
   *
   * Without CAP_NET_ADMIN, and for IPv6 on a device without a link-local address, an empty UDP datagram goes to port 9
   * (discard) of the destination, which has the same effect.
   *
   * @param destination What the next hop was looked up for.
   */
  provoke(nextHop: NextHop, destination: Uint8Array): void {
    const address = nextHop.gateway ?? destination;
    const neighbour = this.#tables.neighbour(nextHop.routeIfindex, address);
    if (neighbour !== undefined && (neighbour.state & CARED_FOR) !== 0) return;
    if (!canSolicit(nextHop.routeIfindex, address)) return pokeDestination(destination);
    const request = useNeighbourRequest(nextHop.routeIfindex, address);
    const { errno } = this.#requests.request(request, "look for a neighbour");
    if (errno === ERRNO.EPERM) pokeDestination(destination);
    // Else the device went down or away, or the table is full for now: the next call finds it better, or the route
    // changes.
    else if (errno !== 0) log.debug("The kernel does not look for a neighbour: errno {errno}", { errno });
  }

  /** True where the kernel has looked for the neighbour of a next hop and nobody answered; false while it looks. */
  neighbourFailed(nextHop: NextHop, destination: Uint8Array): boolean {
    return hasFailed(this.#tables.neighbour(nextHop.routeIfindex, nextHop.gateway ?? destination));
  }

  /** All the kernel has now. */
  #dump(): KernelTables {
    for (let left = MAX_DUMPS;; left--) {
      const tables = new KernelTables();
      let interrupted = false;
      for (
        const [request, what] of [[linksRequest(), "list the devices"], [
          neighboursRequest(),
          "list the neighbours",
        ]] as const
      ) {
        const answer = this.#requests.request(request, what, (message) => void tables.apply(message));
        if (answer.errno !== 0) throw syscallError("netlink dump", answer.errno, what);
        interrupted ||= answer.interrupted;
      }
      this.#incomplete = interrupted;
      if (!interrupted || left === 1) return tables;
    }
  }

  /** Takes in what the kernel has told since the last time. @returns True where an answer may have changed. */
  #read(): boolean {
    let changed = false;
    let overrun = false;
    // After an overrun all is read anew: what is still there is not looked at, but until it is gone the kernel leaves
    // out more.
    for (let left = MAX_RECEIVES; left > 0 || overrun; left--) {
      const messages = this.#events.receive();
      if (messages === undefined) break;
      if (messages === "overrun") overrun = true;
      else if (!overrun) { for (const message of messages) changed = this.#tables.apply(message) || changed; }
    }
    this.#routesChanged ||= changed || overrun;
    if (!overrun && !this.#incomplete) return changed;
    if (overrun) {
      log.info(
        "Too many changes of routes and neighbours at once; reading all routes and neighbours again",
      );
    }
    this.#incomplete = true; // stays, should the dump fail
    this.#tables = this.#dump();
    return true;
  }

  #tellSoon(): void {
    this.#telling ??= setTimeout(() => {
      this.#telling = undefined;
      this.#onChange();
    }, 0);
  }

  async #follow(): Promise<void> {
    const events = [{ fd: this.#events.fd, events: UAPI.POLLIN }];
    while (true) {
      if (!this.#incomplete && !this.#disposed) await this.#poll.wait(events, MAX_WAIT_MS);
      if (this.#disposed) break;
      let pause = BATCH_MS;
      try {
        if (this.#read()) this.#tellSoon();
        if (this.#incomplete) pause = INTERRUPTED_MS;
      } catch (error) {
        log.error("Cannot follow the kernel's routes and neighbours: {error}", { error: messageOf(error) });
        pause = RETRY_MS;
      }
      await sleep(pause);
    }
    this.#poll[Symbol.dispose]();
    this.#events.close();
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    clearTimeout(this.#telling);
    clearTimeout(this.#listing);
    this.#requests.close();
    this.#poll.wake(); // ends the following, which closes its socket
  }
}
