/**
 * ICMP errors about forwarded packets, to those whom they concern: errors about packets to a backend to the client,
 * errors about answers to the backend. Pure, as forwarding is.
 *
 * An error has to quote a packet of a session as it left this box. Any router on the way may have sent it, so its own
 * source says nothing, but it has to come as packets of the session do.
 *
 * The receiver knows nobody but its peer, so that is the source it sees, whoever found the error (RFC 5508 section
 * 4.2).
 *
 * @module
 */
import { isAnswerable, isFromHost, isLinkLocal } from "../packet/answerable.ts";
import { decrementHops, hopsLeft } from "../packet/hops.ts";
import { lowerMtu, type ReceivedError, saysUnreachable, statedMtu, translateError } from "../packet/received_error.ts";
import { tunnelBytes } from "../packet/tunnel.ts";
import { destinationOf, IPV4, IPV6, portInPacket, sourceOf as sourceAddressOf, UDP, UdpPacket } from "../packet/udp.ts";
import { arrivalOf, cameBy, interfaceOf, WRONG_ARRIVAL } from "../steering/arrivals.ts";
import { FATE } from "../steering/fate.ts";
import { mtuToClient, portAt, sourceOf, sourceWords } from "../steering/forward_lookup.ts";
import {
  BACKEND,
  BACKEND_IPV6,
  BACKEND_REACHABLE,
  backendAt,
  FIRST_TUNNEL,
  forwardAt,
  SOURCE_CLIENT,
} from "../steering/forward_table.ts";
import { KEPT_PORT_SHIFT, SESSION } from "../steering/session_row.ts";
import type { Forwarder } from "./forward.ts";
import { clientHeaderBytes, wrapOf } from "./forward_wrapped.ts";
import { ERRORS_PER_CLIENT, ERRORS_PER_SECOND } from "./icmp_errors.ts";
import { RateLimit } from "./rate_limit.ts";

const { error_forwarded, error_limited, error_mtu_low, error_returned, error_unmatched } = FATE;
const { hops_exceeded, no_neighbour, too_big, tx_ring_full, unanswerable, wrong_interface } = FATE;
const LITTLE = true;
/**
 * Bytes. A backend keeps one path MTU for the box's address, which all clients' answers go to: no client may set it
 * lower than every IPv6 link carries.
 */
const LEAST_SHARED_MTU = 1280;

export class ErrorForwarder {
  readonly #forwarder: Forwarder;
  // One for each direction: clients cannot use up what is for them.
  readonly #toClients = new RateLimit(ERRORS_PER_SECOND, ERRORS_PER_CLIENT);
  readonly #toBackends = new RateLimit(ERRORS_PER_SECOND, ERRORS_PER_CLIENT);
  /** Headers of a packet of the client, made from those of an answer to it. */
  readonly #turned = new DataView(new ArrayBuffer(64));
  readonly #client = new UdpPacket();

  constructor(forwarder: Forwarder) {
    this.#forwarder = forwarder;
    this.#client.udp = 40; // behind either IP header
  }

  /**
   * An error about a packet to a backend. Hot path: no allocation.
   *
   * @param from The interface it came by.
   * @param length Of its frame, bytes.
   * @param maySendBack False when the tx ring of the socket it came from is full.
   * @returns Its fate.
   */
  toClient(view: DataView, error: ReceivedError, from: number, length: number, maySendBack: boolean): number {
    const forwarder = this.#forwarder;
    const { outer, quoted: { ip, udp, isIpv6, sourcePort } } = error;
    const { source, destination } = isIpv6 ? IPV6 : IPV4;
    const port = view.getUint16(udp + UDP.destination, LITTLE);
    const session = forwarder.findAnswered(view, ip + destination, port, ip + source, sourcePort, outer, from);
    return this.#toClientOf(view, error, session, from, length, maySendBack);
  }

  /**
   * Whether an error is about what a client that keeps its address has sent to a backend. While forwarder.keeps, and
   * before {@linkcode toKeptClient}. Hot path: no allocation.
   */
  isForKept(view: DataView, { outer, quoted }: ReceivedError, from: number): boolean {
    const ports = view.getInt32(quoted.udp, LITTLE);
    const turned = ports << 16 | ports >>> 16;
    return this.#forwarder.findKept(view, destinationOf(quoted), sourceAddressOf(quoted), turned, outer, from);
  }

  /** As {@linkcode toClient}, for such an error. Hot path: no allocation. */
  toKeptClient(view: DataView, error: ReceivedError, from: number, length: number, maySendBack: boolean): number {
    return this.#toClientOf(view, error, this.#forwarder.keptSession, from, length, maySendBack);
  }

  #toClientOf(
    view: DataView,
    error: ReceivedError,
    session: number,
    from: number,
    length: number,
    maySendBack: boolean,
  ): number {
    const forwarder = this.#forwarder;
    const { sessions, table, now } = forwarder;
    const { outer, quoted: { isIpv6 } } = error;
    forwarder.countWith(session);
    if (session < 0) return session === WRONG_ARRIVAL ? wrong_interface : error_unmatched;
    if (!isFromHost(view, outer)) return unanswerable;
    if (saysUnreachable(view, error)) forwarder.noteUnreachable(session);
    if (hopsLeft(view, outer) <= 1) return hops_exceeded;
    const { words } = sessions;
    const way = words[session + SESSION.arrival]!;
    const to = interfaceOf(way);
    const largest = forwarder.largest(
      to,
      from,
      words[session + SESSION.linkBytes]!,
      mtuToClient(table, words, session + SESSION.client, isIpv6, way, outer.ipBytes),
    );
    if (outer.ipBytes > largest) return too_big;
    if (to === from && !maySendBack) return tx_ring_full;
    if (!this.#toClients.take(now, forwarder.clientOf(session, isIpv6))) return error_limited;
    const added = clientHeaderBytes(wrapOf(table, words, session), isIpv6);
    if (added !== 0) lowerMtu(view, outer, added);
    const ports = words[session + SESSION.ports]!;
    translateError(view, error, words, session + SESSION.client, words, session + SESSION.service, ports);
    return forwarder.send(view, outer, length, from, to, words, session + SESSION.link, error_returned);
  }

  /**
   * An error about an answer: one that was sent from here to a client, or that a backend has sent itself because it
   * sees the client's address. Parameters and result are those of {@linkcode toClient}. Hot path: no allocation.
   */
  toBackend(view: DataView, error: ReceivedError, from: number, length: number, maySendBack: boolean): number {
    const forwarder = this.#forwarder;
    const { sessions, table, now } = forwarder;
    const { backends } = table;
    const { outer } = error;
    const client = this.#turn(view, error.quoted);
    const session = sessions.findByClient(this.#turned, client, sessions.hashOf(this.#turned, client));
    if (session < 0 || sessions.isOver(session, now)) return error_unmatched;
    const { words } = sessions;
    const arrival = arrivalOf(view, outer, from);
    if (forwarder.isDiverted(session, arrival)) return wrong_interface;
    if (!isFromHost(view, outer)) return unanswerable;
    const backend = backendAt(words[session + SESSION.backend]!);
    if ((backends[backend + BACKEND.flags]! & BACKEND_REACHABLE) === 0) return no_neighbour;
    if (hopsLeft(view, outer) <= 1) return hops_exceeded;
    const way = backends[backend + BACKEND.arrival]!;
    const to = interfaceOf(way);
    const linkBytes = backends[backend + BACKEND.linkBytes]!;
    const port = words[session + SESSION.translationPort]!;
    const wrap = wrapOf(table, words, session);
    const isKept = words[session + SESSION.kept] !== 0 && (port === 0 || wrap === SOURCE_CLIENT);
    const isTunnel = port === 0 && !isKept && wrap >= FIRST_TUNNEL;
    const isOuterIpv6 = (backends[backend + BACKEND.flags]! & BACKEND_IPV6) !== 0;
    const added = isTunnel ? tunnelBytes(wrap - FIRST_TUNNEL, isOuterIpv6) : 0;
    const largest = forwarder.largest(to, from, linkBytes, backends[backend + BACKEND.mtu]!) - added;
    if (outer.ipBytes > largest) return too_big;
    const staysOnLink = !isTunnel && cameBy(arrival, way);
    if (port === 0 && (!isAnswerable(view, outer) || (!staysOnLink && isLinkLocal(view, outer)))) {
      return unanswerable;
    }
    if (port !== 0 && !isKept && statedMtu(view, outer) < LEAST_SHARED_MTU) return error_mtu_low;
    if (to === from && !maySendBack) return tx_ring_full;
    if (!this.#toBackends.take(now, forwarder.clientOf(session, outer.isIpv6))) return error_limited;
    if (isKept) {
      // The backend has sent it to the client itself.
      const ports = words[session + SESSION.flags]! >>> KEPT_PORT_SHIFT | words[session + SESSION.ports]! << 16;
      translateError(view, error, backends, backend + BACKEND.address, words, session + SESSION.client, ports);
    } else if (port === 0) {
      decrementHops(view, outer); // it quotes what the backend has sent
      if (isTunnel) forwarder.wrapped.enterTunnel(view, outer, wrap, backend, words[session + SESSION.hash]!);
    } else {
      const forward = table.forwardOfRule[words[session + SESSION.rule]!]!;
      if (forward === 0) return error_unmatched; // its rule is gone
      const own = portAt(table, backend, forwardAt(forward - 1), error.quoted.sourcePort);
      const ports = own | portInPacket(port) << 16;
      const source = sourceOf(table, outer.isIpv6, backend, words[session + SESSION.address]!);
      translateError(
        view,
        error,
        backends,
        backend + BACKEND.address,
        sourceWords(table, outer.isIpv6),
        source,
        ports,
      );
    }
    return forwarder.send(view, outer, length, from, to, backends, backend + BACKEND.link, error_forwarded);
  }

  /** The ends of a quoted answer as those of a packet of its client. */
  #turn(view: DataView, { ip, udp, isIpv6 }: UdpPacket): UdpPacket {
    const turned = this.#turned;
    const client = this.#client;
    client.isIpv6 = isIpv6;
    const { source, destination } = isIpv6 ? IPV6 : IPV4;
    for (let byte = 0; byte < (isIpv6 ? 16 : 4); byte += 4) {
      turned.setInt32(source + byte, view.getInt32(ip + destination + byte));
      turned.setInt32(destination + byte, view.getInt32(ip + source + byte));
    }
    const ports = view.getInt32(udp);
    turned.setInt32(client.udp, ports << 16 | ports >>> 16);
    return client;
  }
}
