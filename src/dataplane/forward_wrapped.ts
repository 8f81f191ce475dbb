/**
 * Forwarding with something added to packets: a header that tells a backend who the client is, or a tunnel. What is
 * added counts towards the MTU of the way to the backend. And forwarding that leaves packets their source. Pure, as
 * forwarding is.
 *
 * @module
 */
import { isLinkLocal } from "../packet/answerable.ts";
import { finishUdpChecksum } from "../packet/checksum.ts";
import {
  addProxyV2,
  addSimpleProxy,
  hasSimpleProxy,
  PROXY_V2_BYTES,
  removeSimpleProxy,
  SIMPLE_PROXY_BYTES,
} from "../packet/client_header.ts";
import { decrementHops } from "../packet/hops.ts";
import { remapPort, translateUdp } from "../packet/translate.ts";
import { encapsulate, tunnelBytes } from "../packet/tunnel.ts";
import { portInPacket, type UdpPacket } from "../packet/udp.ts";
import { cameBy, interfaceOf } from "../steering/arrivals.ts";
import { FATE } from "../steering/fate.ts";
import { mtuToClient, portAt, sourceOf, sourceWords } from "../steering/forward_lookup.ts";
import {
  BACKEND,
  BACKEND_IPV6,
  CHOICE,
  CLIENT_HEADER,
  FIRST_TUNNEL,
  FORWARD,
  forwardAt,
  type ForwardTable,
  SOURCE_CLIENT,
  WRAP_SHIFT,
} from "../steering/forward_table.ts";
import { FLAG_HEADED, FLAG_TOLD, SESSION } from "../steering/session_row.ts";
import { REFUSED } from "../steering/sessions.ts";
import type { Forwarder } from "./forward.ts";

const { forwarded, no_client_header, returned, sessions_full, too_big, tx_ring_full, unanswerable } = FATE;
const { wrong_interface } = FATE;
const { none, proxy_v2_first, simple_proxy } = CLIENT_HEADER;

/** In place of a fate: the answer is an ordinary one. */
export const NOT_WRAPPED = -1;

/** What is added to the packets of a session by its rule, 0: nothing. Hot path: no allocation. */
export function wrapOf({ forwardOfRule, forwards }: ForwardTable, words: Int32Array, session: number): number {
  const forward = forwardOfRule[words[session + SESSION.rule]!]!;
  return forward === 0 ? 0 : forwards[forwardAt(forward - 1) + FORWARD.mode]! >> WRAP_SHIFT;
}

/** Bytes that a client header adds to a packet, 0 with a tunnel. Hot path: no allocation. */
export function clientHeaderBytes(wrap: number, isIpv6: boolean): number {
  if (wrap === none || wrap >= SOURCE_CLIENT) return 0;
  if (wrap === simple_proxy) return SIMPLE_PROXY_BYTES;
  return isIpv6 ? PROXY_V2_BYTES.ipv6 : PROXY_V2_BYTES.ipv4;
}

export class WrappedForwarder {
  readonly #forwarder: Forwarder;

  constructor(forwarder: Forwarder) {
    this.#forwarder = forwarder;
  }

  /**
   * The end of {@linkcode Forwarder.toBackend} for a rule that adds something. Hot path: no allocation.
   *
   * @param backend Index of the first word of the backend's row; its next hop is known.
   * @param forward Index of the first word of the rule's forward.
   */
  toBackend(
    view: DataView,
    packet: UdpPacket,
    session: number,
    backend: number,
    forward: number,
    from: number,
    length: number,
    maySendBack: boolean,
  ): number {
    const forwarder = this.#forwarder;
    const { table, sessions } = forwarder;
    const { words } = sessions;
    const { backends } = table;
    const wrap = table.forwards[forward + FORWARD.mode]! >> WRAP_SHIFT;
    const isTunnel = wrap >= FIRST_TUNNEL;
    const isOuterIpv6 = (backends[backend + BACKEND.flags]! & BACKEND_IPV6) !== 0;
    const isTold = wrap === proxy_v2_first && (words[session + SESSION.flags]! & FLAG_TOLD) !== 0;
    let added = isTold ? 0 : clientHeaderBytes(wrap, packet.isIpv6);
    if (isTunnel) added = tunnelBytes(wrap - FIRST_TUNNEL, isOuterIpv6);
    const to = interfaceOf(backends[backend + BACKEND.arrival]!);
    const linkBytes = backends[backend + BACKEND.linkBytes]!;
    const largest = forwarder.largest(to, from, linkBytes, backends[backend + BACKEND.mtu]!) - added;
    if (packet.ipBytes > largest) {
      if (maySendBack) forwarder.tellClient(view, packet, largest);
      return too_big;
    }
    if (to === from && !maySendBack) return tx_ring_full;
    if (wrap === SOURCE_CLIENT) return this.#keepSource(view, packet, session, backend, forward, from, length);
    if (isTunnel) {
      if (isLinkLocal(view, packet)) return unanswerable; // it would get to another link
      const port = table.forwards[forward + FORWARD.remapPort]!;
      if (port === 0) finishUdpChecksum(view, packet);
      else remapPort(view, packet, port);
      decrementHops(view, packet);
      this.enterTunnel(view, packet, wrap, backend, words[session + SESSION.hash]!);
      return forwarder.send(view, packet, length, from, to, backends, backend + BACKEND.link, forwarded);
    }
    const answers = table.forwards[forward + FORWARD.answers]!;
    if ((table.forwards[forward + FORWARD.choice]! & CHOICE.answers) !== 0) sessions.awaitAnswers(session, answers);
    if (added !== 0) {
      finishUdpChecksum(view, packet);
      if (wrap === simple_proxy) addSimpleProxy(view, packet, words, session, SESSION);
      else addProxyV2(view, packet, words, session, SESSION);
    }
    const source = portInPacket(words[session + SESSION.translationPort]!);
    const ports = source | (portAt(table, backend, forward, packet.destinationPort) << 16);
    const sources = sourceWords(table, packet.isIpv6);
    const at = sourceOf(table, packet.isIpv6, backend, words[session + SESSION.address]!);
    translateUdp(view, packet, sources, at, backends, backend + BACKEND.address, ports);
    const fate = forwarder.send(view, packet, length, from, to, backends, backend + BACKEND.link, forwarded);
    if (fate !== forwarded) return fate;
    const flag = wrap === simple_proxy ? FLAG_HEADED : FLAG_TOLD;
    words[session + SESSION.flags] = words[session + SESSION.flags]! | flag;
    return forwarded;
  }

  /** To a backend that sees the client's own address: its answers are found by that. */
  #keepSource(
    view: DataView,
    packet: UdpPacket,
    session: number,
    backend: number,
    forward: number,
    from: number,
    length: number,
  ): number {
    const forwarder = this.#forwarder;
    const { table, sessions } = forwarder;
    const { backends, forwards } = table;
    const { words } = sessions;
    const arrival = words[session + SESSION.arrival]!;
    const way = backends[backend + BACKEND.arrival]!;
    const port = portAt(table, backend, forward, packet.destinationPort);
    if (sessions.kept === undefined || !sessions.kept.has(session, port)) {
      if (forwarder.isForged(view, packet, arrival)) {
        sessions.remove(session);
        return wrong_interface;
      }
      if (!sessions.keepClient(session, table, port)) {
        sessions.remove(session);
        sessions.refuse(REFUSED.rows);
        return sessions_full;
      }
    }
    if (!cameBy(arrival, way) && isLinkLocal(view, packet)) return unanswerable; // it would get to another link
    const answers = forwards[forward + FORWARD.answers]!;
    if ((forwards[forward + FORWARD.choice]! & CHOICE.answers) !== 0) sessions.awaitAnswers(session, answers);
    const ports = (words[session + SESSION.ports]! & 0xffff) | (port << 16);
    translateUdp(view, packet, words, session + SESSION.client, backends, backend + BACKEND.address, ports);
    return forwarder.send(view, packet, length, from, interfaceOf(way), backends, backend + BACKEND.link, forwarded);
  }

  /** Puts a packet into the tunnel to a backend. Hot path: no allocation. @param flow Differs from flow to flow. */
  enterTunnel(view: DataView, packet: UdpPacket, wrap: number, backend: number, flow: number): void {
    const { backends } = this.#forwarder.table;
    const isOuterIpv6 = (backends[backend + BACKEND.flags]! & BACKEND_IPV6) !== 0;
    const source = backend + BACKEND.source;
    const destination = backend + BACKEND.address;
    encapsulate(view, packet, wrap - FIRST_TUNNEL, isOuterIpv6, backends, source, destination, flow);
  }

  /**
   * The end of {@linkcode Forwarder.toClient} for an answer that should begin with a header. Hot path: no allocation.
   *
   * @returns Its fate; or {@linkcode NOT_WRAPPED} for an answer without the header, where the rule does not ask for it
   * any more.
   */
  toClient(
    view: DataView,
    packet: UdpPacket,
    session: number,
    from: number,
    length: number,
    maySendBack: boolean,
  ): number {
    const forwarder = this.#forwarder;
    const { table, sessions: { words } } = forwarder;
    const { isIpv6 } = packet;
    if (!hasSimpleProxy(view, packet, words, session, SESSION)) {
      return wrapOf(table, words, session) === simple_proxy ? no_client_header : NOT_WRAPPED;
    }
    const way = words[session + SESSION.arrival]!;
    const to = interfaceOf(way);
    const linkBytes = words[session + SESSION.linkBytes]!;
    const ipBytes = packet.ipBytes - SIMPLE_PROXY_BYTES;
    const mtu = mtuToClient(table, words, session + SESSION.client, isIpv6, way, ipBytes);
    const largest = forwarder.largest(to, from, linkBytes, mtu);
    if (ipBytes > largest) {
      if (maySendBack) forwarder.tellBackend(view, packet, largest + SIMPLE_PROXY_BYTES, session);
      return too_big;
    }
    if (to === from && !maySendBack) return tx_ring_full;
    finishUdpChecksum(view, packet);
    removeSimpleProxy(view, packet);
    const ports = words[session + SESSION.ports]!;
    const back = (ports << 16) | (ports >>> 16);
    translateUdp(view, packet, words, session + SESSION.service, words, session + SESSION.client, back);
    return forwarder.send(view, packet, length, from, to, words, session + SESSION.link, returned);
  }
}
