/**
 * Forwarding of one worker: client's packets to backends, their answers back to clients. Pure, as processing is: no
 * clock, no FFI.
 *
 * @module
 */
import { isAnswerable, isLinkLocal } from "../packet/answerable.ts";
import { finishUdpChecksum } from "../packet/checksum.ts";
import { decrementHops, hopsLeft } from "../packet/hops.ts";
import { ICMP_ERROR, type IcmpError } from "../packet/icmp_error.ts";
import { frameBytes, keepReturnLink, LINK_WORDS, writeLink } from "../packet/link_header.ts";
import { remapPort, translateUdp } from "../packet/translate.ts";
import { IPV4, IPV6, portInPacket, sourceOf as sourceAddressOf, type UdpPacket } from "../packet/udp.ts";
import { ALL_FULL, Chooser } from "../steering/choice.ts";
import { arrivalOf, cameBy, hasBackends, interfaceOf, WRONG_ARRIVAL } from "../steering/arrivals.ts";
import { BackendCounter } from "../steering/backend_counts.ts";
import { FATE } from "../steering/fate.ts";
import {
  chooseBackend,
  findBackend,
  findRange,
  findSource,
  mtuToClient,
  portAt,
  sourceOf,
  sourcePlaces,
  sourceWords,
} from "../steering/forward_lookup.ts";
import {
  BACKEND,
  BACKEND_KEEPS,
  BACKEND_REACHABLE,
  backendAt,
  CHOICE,
  FORWARD,
  FORWARD_MODE,
  forwardAt,
  type ForwardTable,
  KEPT,
  SOURCE_CLIENT,
  sourceGenerationAt,
  usableAt,
  WRAP_SHIFT,
} from "../steering/forward_table.ts";
import { KEPT_SET_BYTES, KeptClients, NOT_KEPT } from "../steering/kept_clients.ts";
import { NO_BACKEND } from "../steering/maglev.ts";
import { NO_RULE } from "../steering/slots.ts";
import { FLAG_HEADED, SESSION } from "../steering/session_row.ts";
import { REFUSED, SessionTable, type SessionTableOptions } from "../steering/sessions.ts";
import { ErrorForwarder } from "./forward_errors.ts";
import { IcmpErrors } from "./icmp_errors.ts";
import { NOT_WRAPPED, WrappedForwarder } from "./forward_wrapped.ts";
import { answerRow } from "./counters.ts";
import { clientNumber, senderNumber } from "./rate_limit.ts";

const { forwarded, returned, no_backend, no_neighbour, no_session, sessions_full } = FATE;
const { hops_exceeded, interface_gone, too_big, tx_ring_full, unanswerable, wrong_interface } = FATE;
const { tooBig, hopsExceeded } = ICMP_ERROR;
const { dsr } = FORWARD_MODE;
// An import is looked up at each use, a module's own constant is part of the code.
const { each: SPREAD, answers: COUNTS_ANSWERS } = CHOICE;
const { awaited: AWAITED } = SESSION;
const allFull = ALL_FULL;
const noRule = NO_RULE;
const keepsSource = SOURCE_CLIENT;
const LITTLE = true;

/** Sends a packet out of another interface than it came by. */
export interface Egress {
  /** Bytes of the largest frame that {@linkcode send} can copy to an interface. Hot path. */
  largest(networkInterface: number): number;
  /** False while there is no such interface to send by. */
  isOpen(networkInterface: number): boolean;
  /** Copies a frame to the tx ring of an interface. @returns False when there is no room, or no chunk. */
  send(networkInterface: number, umem: DataView, addr: number, length: number): boolean;
}

/** Views memory that the control thread has mapped. */
export type ViewMemory = (memory: { readonly address: bigint; readonly length: number }) => ArrayBufferLike;

export interface ForwarderOptions extends SessionTableOptions {
  /** Number of the worker. Default 0. */
  readonly worker?: number;
  /** Packets may come by any interface, whoever sends them. Default false. */
  readonly anyArrival?: boolean;
  /** Memory for what is counted of backends, that others read. Default: memory of its own. */
  readonly backendCounts?: ArrayBufferLike;
}

export class Forwarder {
  readonly sessions: SessionTable;
  /** For ICMP errors. */
  readonly errors: ErrorForwarder;
  /** For packets that something is added to, or removed from. */
  readonly wrapped: WrappedForwarder;
  /** Ticks (session_row.ts) of any clock that only goes forward; set before each batch. */
  now = 0;
  /** The same time in milliseconds. */
  nowMs = 0;
  /** Of the packet that was last decided on: where its frame starts now, and how long it is. */
  addr = 0;
  length = 0;
  /** True when that packet has to go to the tx ring of the socket it came from; false: it was copied, or is dropped. */
  sendsBack = false;
  /** True when that packet waits for the link address of its backend's next hop, and is to be decided on again. */
  parks = false;
  /** Row of the counters of what came from the backends' side, by its session's rule; NO_RULE: of no session. */
  answerRow: number = NO_RULE;
  /** False while packets are decided on that have waited long enough. */
  mayPark = true;
  /** What {@linkcode findKept} has found. */
  #kept = NOT_KEPT;
  readonly #worker: number;
  readonly #viewMemory: ViewMemory | undefined;
  readonly #egress: Egress;
  readonly #counter: BackendCounter;
  /** Packets have to come by what leads to their sender. */
  readonly #isStrict: boolean;
  readonly #clientErrors = new IcmpErrors();
  readonly #backendErrors = new IcmpErrors();
  readonly #seed: number;
  readonly #ruleSlots: number;
  readonly #chooser: Chooser;
  #table: ForwardTable;

  constructor(
    table: ForwardTable,
    egress: Egress,
    { anyArrival = false, backendCounts, worker = 0, ...options }: ForwarderOptions,
    viewMemory?: ViewMemory,
  ) {
    this.#worker = worker;
    this.#viewMemory = viewMemory;
    this.#egress = egress;
    this.#counter = new BackendCounter(backendCounts);
    this.#isStrict = !anyArrival;
    this.#seed = options.key.low;
    this.#ruleSlots = options.ruleSlots;
    this.sessions = new SessionTable(options);
    this.#table = table;
    this.sessions.follow(table);
    this.#openKept();
    this.#chooser = new Chooser(this.sessions);
    this.errors = new ErrorForwarder(this);
    this.wrapped = new WrappedForwarder(this);
  }

  /** The forward table in force. */
  get table(): ForwardTable {
    return this.#table;
  }

  set table(table: ForwardTable) {
    this.#table = table;
    this.sessions.follow(table);
    if (!this.keeps) this.#openKept();
  }

  /** True once there may be sessions whose clients keep their addresses. Hot path. */
  get keeps(): boolean {
    return this.sessions.kept !== undefined;
  }

  /** Goes on with the sessions in the rows; see {@linkcode SessionTable.takeRows}. */
  /** Makes ready for {@linkcode takeSessions}, while another one has them. */
  prepareSessions(): void {
    this.sessions.prepareRows(this.#table);
  }

  takeSessions(counts: Parameters<SessionTable["takeRows"]>[1]): void {
    this.sessions.takeRows(this.#table, counts);
  }

  #openKept(): void {
    const { kept } = this.#table;
    const address = BigInt(kept[KEPT.addressLow]! >>> 0) | BigInt(kept[KEPT.addressHigh]! >>> 0) << 32n;
    if (address === 0n || this.#viewMemory === undefined) return;
    const setMask = kept[KEPT.setMask]!;
    const key = { low: kept[KEPT.keyLow]!, high: kept[KEPT.keyHigh]! };
    const memory = this.#viewMemory({ address, length: (setMask + 1) * KEPT_SET_BYTES });
    this.sessions.kept = new KeptClients({ memory, setMask, key, worker: this.#worker }, this.sessions.words);
  }

  /**
   * A client's packet. Hot path: no allocation.
   *
   * @param rule Slot of the rule it belongs to.
   * @param from The interface it came by.
   * @param length Of its frame, bytes.
   * @param maySendBack False when the tx ring of the socket it came from is full.
   * @returns Its fate.
   */
  toBackend(
    view: DataView,
    packet: UdpPacket,
    rule: number,
    from: number,
    length: number,
    maySendBack: boolean,
  ): number {
    const { sessions, table, now } = this;
    this.sendsBack = false;
    this.parks = false;
    const forward = table.forwardOfRule[rule]!;
    if (forward === 0) return no_backend;
    const forwardWords = forwardAt(forward - 1);
    const mode = table.forwards[forwardWords + FORWARD.mode]!;
    const isNat = (mode & dsr) === 0;
    if (!isAnswerable(view, packet)) return unanswerable;
    if (hopsLeft(view, packet) <= 1) {
      if (maySendBack) {
        this.#tell(this.#clientErrors, view, packet, hopsExceeded, 0, senderNumber(view, packet, this.#seed));
      }
      return hops_exceeded;
    }

    const arrival = arrivalOf(view, packet, from);
    const { words } = sessions;
    const choice = table.forwards[forwardWords + FORWARD.choice]!;
    let hash = sessions.hashOf(view, packet);
    let row: number = NO_BACKEND;
    let session: number;
    if ((choice & SPREAD) === 0) {
      session = sessions.findByClient(view, packet, hash);
    } else {
      session = this.#chooser.spread(table, view, packet, forwardWords, hash);
      ({ row, hash } = this.#chooser);
      if (row === NO_BACKEND) return no_backend;
    }
    if (session >= 0 && sessions.isOver(session, now)) {
      sessions.remove(session);
      session = -1;
    }
    if (session < 0) {
      if (choice === 0) row = chooseBackend(table, view, packet, forwardWords);
      else if ((choice & SPREAD) === 0) row = this.#chooser.choose(table, view, packet, forwardWords);
      if (row === NO_BACKEND) return no_backend;
      if (row === allFull) return this.#refuse();
      session = sessions.add(view, packet, hash, row, rule, now, isNat ? sourcePlaces(table, packet.isIpv6) : 0);
      if (session < 0) return sessions_full;
      this.#noteAddress(packet, session);
    } else {
      if (this.isDiverted(session, arrival)) return wrong_interface;
      row = words[session + SESSION.backend]!;
      const isUsable = table.usable[usableAt(forward - 1) + row] !== 0;
      // The rule's mode and the translation addresses may have changed since the session began.
      if (
        !isUsable ||
        // One that had a translation port may keep it: answers to that are still on their way.
        ((words[session + SESSION.translationPort] !== 0) !== isNat && (isNat || mode >> WRAP_SHIFT !== keepsSource)) ||
        words[session + SESSION.addressGeneration] !==
          table.sources[sourceGenerationAt(packet.isIpv6, words[session + SESSION.address]!)]
      ) {
        if (!isUsable) {
          row = this.#instead(view, packet, row, forward, forwardWords);
          if (row === NO_BACKEND) return no_backend;
          if (row === allFull) return this.#refuse();
        }
        if (!sessions.move(session, row, now, isNat ? sourcePlaces(table, packet.isIpv6) : 0)) return sessions_full;
        this.#noteAddress(packet, session);
      }
      sessions.touchByClient(session, rule, now);
    }
    words[session + SESSION.arrival] = arrival;
    words[session + SESSION.linkBytes] = keepReturnLink(view, packet, sessions.bytes, (session + SESSION.link) << 2);
    sessions.tellTwin(session);

    const { backends } = table;
    const backend = backendAt(row);
    if ((backends[backend + BACKEND.flags]! & BACKEND_REACHABLE) === 0) {
      this.parks = this.mayPark;
      return no_neighbour;
    }
    if (mode > dsr) {
      const fate = this.wrapped.toBackend(view, packet, session, backend, forwardWords, from, length, maySendBack);
      if (fate === forwarded) this.#noteSent(row, session, forwardWords);
      return fate;
    }
    const way = backends[backend + BACKEND.arrival]!;
    const to = interfaceOf(way);
    const largest = this.largest(to, from, backends[backend + BACKEND.linkBytes]!, backends[backend + BACKEND.mtu]!);
    if (packet.ipBytes > largest) {
      if (maySendBack) this.tellClient(view, packet, largest);
      return too_big;
    }
    if (to === from && !maySendBack) return tx_ring_full;
    if ((choice & COUNTS_ANSWERS) !== 0) {
      sessions.awaitAnswers(session, table.forwards[forwardWords + FORWARD.answers]!);
    }
    if (isNat) {
      const source = portInPacket(words[session + SESSION.translationPort]!);
      const ports = source | (portAt(table, backend, forwardWords, packet.destinationPort) << 16);
      const sources = sourceWords(table, packet.isIpv6);
      const at = sourceOf(table, packet.isIpv6, backend, words[session + SESSION.address]!);
      translateUdp(view, packet, sources, at, backends, backend + BACKEND.address, ports);
    } else {
      if (!cameBy(arrival, way) && isLinkLocal(view, packet)) return unanswerable;
      const port = table.forwards[forwardWords + FORWARD.remapPort]!;
      if (port === 0) finishUdpChecksum(view, packet);
      else remapPort(view, packet, port);
      decrementHops(view, packet);
    }
    const fate = this.send(view, packet, length, from, to, backends, backend + BACKEND.link, forwarded);
    if (fate === forwarded) this.#noteSent(row, session, forwardWords);
    return fate;
  }

  /**
   * A packet to one of the worker's translation ports. Hot path: no allocation.
   *
   * @returns Its fate, which counts in {@linkcode answerRow}.
   */
  toClient(view: DataView, packet: UdpPacket, from: number, length: number, maySendBack: boolean): number {
    this.sendsBack = false;
    this.parks = false;
    const { ip, udp, isIpv6 } = packet;
    const { source, destination } = isIpv6 ? IPV6 : IPV4;
    const port = view.getUint16(udp, LITTLE);
    const own = packet.destinationPort;
    const session = this.findAnswered(view, ip + source, port, ip + destination, own, packet, from);
    return this.#answer(view, packet, session, from, length, maySendBack);
  }

  /** An answer that {@linkcode findKept} has found, or an ICMP error about one. Hot path. @returns Its fate. */
  toKeptClient(view: DataView, packet: UdpPacket, from: number, length: number, maySendBack: boolean): number {
    this.sendsBack = false;
    this.parks = false;
    return this.#answer(view, packet, this.#kept, from, length, maySendBack);
  }

  #answer(
    view: DataView,
    packet: UdpPacket,
    session: number,
    from: number,
    length: number,
    maySendBack: boolean,
  ): number {
    this.countWith(session);
    if (session < 0) return session === WRONG_ARRIVAL ? wrong_interface : no_session;
    const { sessions, table, now } = this;
    const { isIpv6 } = packet;
    if (!isAnswerable(view, packet)) return unanswerable;
    if (hopsLeft(view, packet) <= 1) {
      if (maySendBack) this.#tell(this.#backendErrors, view, packet, hopsExceeded, 0, this.clientOf(session, isIpv6));
      return hops_exceeded;
    }
    const { words } = sessions;
    const way = words[session + SESSION.arrival]!;
    const to = interfaceOf(way);
    sessions.touchByAnswer(session, now);
    if ((words[session + SESSION.flags]! & FLAG_HEADED) !== 0) {
      const fate = this.wrapped.toClient(view, packet, session, from, length, maySendBack);
      if (fate !== NOT_WRAPPED) {
        if (fate === returned) this.#counter.answered(words[session + SESSION.backend]!, session, this.nowMs);
        if (words[session + AWAITED] !== 0) sessions.gotAnswer(session);
        return fate;
      }
    }
    const largest = this.largest(
      to,
      from,
      words[session + SESSION.linkBytes]!,
      mtuToClient(table, words, session + SESSION.client, isIpv6, way, packet.ipBytes),
    );
    if (packet.ipBytes > largest) {
      if (maySendBack) this.tellBackend(view, packet, largest, session);
      return too_big;
    }
    if (to === from && !maySendBack) return tx_ring_full;
    const ports = words[session + SESSION.ports]!;
    const back = (ports << 16) | (ports >>> 16);
    translateUdp(view, packet, words, session + SESSION.service, words, session + SESSION.client, back);
    const fate = this.send(view, packet, length, from, to, words, session + SESSION.link, returned);
    if (fate === returned) this.#counter.answered(words[session + SESSION.backend]!, session, this.nowMs);
    if (words[session + AWAITED] !== 0) sessions.gotAnswer(session);
    return fate;
  }

  /** Has what came count with the rule of its session; a negative number: of no session. Hot path. */
  countWith(session: number): void {
    this.answerRow = session < 0 ? noRule : answerRow(this.sessions.words[session + SESSION.rule]!, this.#ruleSlots);
  }

  #noteSent(row: number, session: number, forwardWords: number): void {
    this.#counter.sent(row, session, this.nowMs);
    if (this.table.forwards[forwardWords + FORWARD.watched] === 0) return;
    const { words } = this.sessions;
    words[session + SESSION.asked] = this.#counter.asked(row, words[session + SESSION.asked]!);
  }

  /** A backend's packets do not get there, as an ICMP error about a session's packet says. Hot path. */
  noteUnreachable(session: number): void {
    this.#counter.failed(this.sessions.words[session + SESSION.backend]!);
  }

  /** @returns The fate of a packet whose backends all have as many sessions as they may have. */
  #refuse(): number {
    this.sessions.refuse(REFUSED.backends);
    return sessions_full;
  }

  /**
   * The session that a packet from the backends' side is about. Hot path: no allocation.
   *
   * @param backend Where the backend's address stands in `view`; `port` is its port, as it stands in packets.
   * @param own Where the translation address stands; `ownPort` is the translation port.
   * @param packet What came, and `from` the interface it came by: only what leads to the backend counts, so that nobody
   * on the clients' side can forge its answers.
   * @returns -1 where there is none, or {@linkcode WRONG_ARRIVAL}.
   */
  findAnswered(
    view: DataView,
    backend: number,
    port: number,
    own: number,
    ownPort: number,
    packet: UdpPacket,
    from: number,
  ): number {
    const { table } = this;
    const { isIpv6 } = packet;
    const exact = findBackend(table, view, backend, port, isIpv6);
    let session = exact < 0 ? -1 : this.#sessionOf(exact, view, own, ownPort, packet, from);
    for (let skip = 0; session === -1; skip++) {
      const row = findRange(table, view, backend, port, isIpv6, skip);
      if (row < 0) return -1;
      session = this.#sessionOf(row, view, own, ownPort, packet, from);
      if (session >= 0 && !this.#comesFrom(session, row, port)) session = -1;
    }
    return session;
  }

  /** The session with a backend that what comes from its side to a translation port is of. */
  #sessionOf(
    row: number,
    view: DataView,
    own: number,
    ownPort: number,
    packet: UdpPacket,
    from: number,
  ): number {
    const { sessions, table } = this;
    const { isIpv6 } = packet;
    if (this.#isStrict && !cameBy(arrivalOf(view, packet, from), table.backends[backendAt(row) + BACKEND.arrival]!)) {
      return WRONG_ARRIVAL;
    }
    const address = findSource(table, view, own, isIpv6, row);
    if (address < 0) return -1;
    const session = sessions.findByAnswer(ownPort, row, address);
    return session < 0 || sessions.isOver(session, this.now) ? -1 : session;
  }

  /** Whether a port of a backend's range is the one that a session's packets go to now. */
  #comesFrom(session: number, row: number, port: number): boolean {
    const { table, sessions: { words } } = this;
    const forward = table.forwardOfRule[words[session + SESSION.rule]!]!;
    if (forward === 0) return true; // its rule is gone, and what is on its way may still arrive
    const service = portInPacket(words[session + SESSION.ports]! >>> 16);
    return portAt(table, backendAt(row), forwardAt(forward - 1), service) === port;
  }

  /**
   * Whether a packet belongs to a session, or did a moment ago, whose client keeps its address. Which one is noted for
   * {@linkcode toKeptClient}. While {@linkcode keeps}. Hot path: no allocation.
   *
   * @param backend Where the backend's address stands in `view`, and `client` the client's.
   * @param ports Both ports, the backend's in the lower half, as they stand in packets.
   * @param packet What came, and `from` the interface it came by.
   */
  findKept(
    view: DataView,
    backend: number,
    client: number,
    ports: number,
    packet: UdpPacket,
    from: number,
  ): boolean {
    const { table } = this;
    const { isIpv6 } = packet;
    const port = ports & 0xffff;
    const exact = findBackend(table, view, backend, port, isIpv6);
    if (exact >= 0 && this.#findKeptWith(exact, view, backend, client, ports, packet, from)) return true;
    for (let skip = 0;; skip++) {
      const row = findRange(table, view, backend, port, isIpv6, skip);
      if (row < 0) return false;
      if (this.#findKeptWith(row, view, backend, client, ports, packet, from)) return true;
    }
  }

  #findKeptWith(
    row: number,
    view: DataView,
    backend: number,
    client: number,
    ports: number,
    packet: UdpPacket,
    from: number,
  ): boolean {
    const { sessions, table: { backends } } = this;
    const at = backendAt(row);
    if ((backends[at + BACKEND.flags]! & BACKEND_KEEPS) === 0) return false;
    const session = sessions.kept!.find(view, backend, client, ports, packet.isIpv6, row);
    if (session === NOT_KEPT) return false;
    this.#kept = this.#isStrict && !cameBy(arrivalOf(view, packet, from), backends[at + BACKEND.arrival]!)
      ? WRONG_ARRIVAL
      : session < 0 || sessions.isOver(session, this.now)
      ? NOT_KEPT
      : session;
    return true;
  }

  /** Slot of the rule that answers to clients which keep their addresses count with. Hot path. */
  get keptRule(): number {
    return this.#table.kept[KEPT.rule]!;
  }

  /** The session that {@linkcode findKept} has found; below zero: none, or {@linkcode WRONG_ARRIVAL}. */
  get keptSession(): number {
    return this.#kept;
  }

  /**
   * Whether a client's packet says that it is from a backend, and comes by where that is not. Hot path: no allocation.
   */
  isForged(view: DataView, packet: UdpPacket, arrival: number): boolean {
    const { table } = this;
    if (!this.#isStrict) return false;
    const { udp, isIpv6 } = packet;
    const source = sourceAddressOf(packet);
    const port = view.getUint16(udp, LITTLE);
    const exact = findBackend(table, view, source, port, isIpv6);
    const row = exact < 0 ? findRange(table, view, source, port, isIpv6, 0) : exact;
    return row >= 0 && !cameBy(arrival, table.backends[backendAt(row) + BACKEND.arrival]!);
  }

  /**
   * True for what comes from the backends' side as if it were a client's: packets by another interface divert a
   * session's answers, and from there nobody can do that to a client. Hot path.
   */
  isDiverted(session: number, arrival: number): boolean {
    return arrival !== this.sessions.words[session + SESSION.arrival] && this.#isStrict &&
      hasBackends(this.#table.arrivals, arrival);
  }

  /** The row for a session whose backend must not be used any more: where it was moved to, else as a new one's. */
  #instead(view: DataView, packet: UdpPacket, row: number, forward: number, forwardWords: number): number {
    const { table } = this;
    const to = table.backends[backendAt(row) + BACKEND.moveTo]!;
    if (to !== 0 && table.usable[usableAt(forward - 1) + to] !== 0) return to;
    return table.forwards[forwardWords + FORWARD.choice] === 0
      ? chooseBackend(table, view, packet, forwardWords)
      : this.#chooser.choose(table, view, packet, forwardWords);
  }

  #noteAddress({ isIpv6 }: UdpPacket, session: number): void {
    const { words } = this.sessions;
    const { sources } = this.table;
    words[session + SESSION.addressGeneration] =
      sources[sourceGenerationAt(isIpv6, words[session + SESSION.address]!)]!;
  }

  /** The largest IP packet that can leave by an interface, bytes. Hot path: no allocation. */
  largest(to: number, from: number, linkBytes: number, mtu: number): number {
    if (to === from) return mtu;
    const room = this.#egress.largest(to) - linkBytes;
    return room < mtu ? room : mtu;
  }

  /** The {@linkcode clientNumber} of a session. Hot path: no allocation. */
  clientOf(session: number, isIpv6: boolean): number {
    const { words } = this.sessions;
    const second = isIpv6 ? words[session + SESSION.client + 1]! : 0;
    return clientNumber(words[session + SESSION.client]!, second, this.#seed);
  }

  /** Tells a client, where it may be told, the largest IP packet that it may send. Hot path: no allocation. */
  tellClient(view: DataView, packet: UdpPacket, mtu: number): void {
    this.#tell(this.#clientErrors, view, packet, tooBig, mtu, senderNumber(view, packet, this.#seed));
  }

  /** Tells the backend of a session the same. Hot path: no allocation. */
  tellBackend(view: DataView, packet: UdpPacket, mtu: number, session: number): void {
    this.#tell(this.#backendErrors, view, packet, tooBig, mtu, this.clientOf(session, packet.isIpv6));
  }

  /** Has the packet's place taken by an ICMP error to its sender, where that may be told. */
  #tell(
    errors: IcmpErrors,
    view: DataView,
    packet: UdpPacket,
    error: IcmpError,
    mtu: number,
    client: number,
  ): void {
    if (!errors.write(view, packet, error, mtu, this.now, client)) return;
    this.addr = errors.addr;
    this.length = errors.length;
    this.sendsBack = true;
  }

  /**
   * Sends a packet out, with a link header kept at word `link`. Hot path: no allocation.
   *
   * @returns `fate`, or why it could not be sent.
   */
  send(
    view: DataView,
    packet: UdpPacket,
    length: number,
    from: number,
    to: number,
    words: Int32Array,
    link: number,
    fate: number,
  ): number {
    const { ethernet, ip } = packet;
    const linkBytes = words[link + LINK_WORDS]!;
    const addr = ip - linkBytes;
    const bytes = frameBytes(packet, linkBytes, length + ethernet - addr);
    writeLink(view, ip, words, link);
    if (to !== from) {
      if (this.#egress.send(to, view, addr, bytes)) return fate;
      return this.#egress.isOpen(to) ? tx_ring_full : interface_gone;
    }
    this.addr = addr;
    this.length = bytes;
    this.sendsBack = true;
    return fate;
  }
}
