/**
 * Draws the pictures of docs/forwarding.md into docs/images. Run it after a change here: a test compares.
 *
 * @module
 */
import { Picture } from "./draw.ts";

const CLIENT = 20;
const BOX = 340;
const BACKEND = 680;
const WIDE = 140;

/** By the name of the file, without its ending. */
export const PICTURES: Readonly<Record<string, () => Picture>> = {
  "forward-modes": modes,
  "forward-choice": choice,
  "forward-health": health,
  "forward-drain": drain,
  "forward-range": range,
  "forward-icmp": icmp,
};

interface Way {
  readonly name: string;
  readonly what: string;
  /** What the client's packet has, and the backend's: source and destination. */
  readonly sent: string;
  readonly arrives: string;
  readonly answer: string;
  readonly answered: string;
  /** The answer does not come back through the box. */
  readonly direct?: string;
}

const WAYS: readonly Way[] = [
  {
    name: "mode: nat",
    what: "the backend sees the box",
    sent: "client:40000 > service:53",
    arrives: "box:61007 > backend:5353",
    answer: "backend:5353 > box:61007",
    answered: "service:53 > client:40000",
  },
  {
    name: "mode: nat, source: client",
    what: "the backend sees the client, its route leads back through the box",
    sent: "client:40000 > service:53",
    arrives: "client:40000 > backend:5353",
    answer: "backend:5353 > client:40000",
    answered: "service:53 > client:40000",
  },
  {
    name: "mode: dsr",
    what: "the backend is a neighbour, has the service's address, and answers directly",
    sent: "client:40000 > service:53",
    arrives: "the same, new MAC address",
    answer: "",
    answered: "",
    direct: "service:53 > client:40000",
  },
  {
    name: "mode: dsr, tunnel: ipip | gue | gre",
    what: "the same for a backend in another network",
    sent: "client:40000 > service:53",
    arrives: "the same in a tunnel",
    answer: "",
    answered: "",
    direct: "service:53 > client:40000",
  },
];

function modes(): Picture {
  const step = 152;
  const picture = new Picture(840, WAYS.length * step + 8, "What becomes of addresses and ports in each mode");
  WAYS.forEach(({ name, what, sent, arrives, answer, answered, direct }, index) => {
    const y = index * step;
    picture.text(CLIENT, y + 26, name, { bold: true, size: 15 });
    picture.text(CLIENT + 300, y + 26, what, { quiet: true });
    const top = y + 40;
    picture.box(CLIENT, top, WIDE, 70, "client", "client");
    picture.box(BOX, top, WIDE, 70, "box", "xdpsteer");
    picture.box(BACKEND, top, WIDE, 70, "backend", "backend");
    const [there, back] = [top + 24, top + 52];
    picture.arrow([CLIENT + WIDE, there], [BOX, there], sent);
    picture.arrow([BOX + WIDE, there], [BACKEND, there], arrives);
    if (direct === undefined) {
      picture.arrow([BACKEND, back], [BOX + WIDE, back], answer, { colour: "backend", below: true });
      picture.arrow([BOX, back], [CLIENT + WIDE, back], answered, { colour: "backend", below: true });
      return;
    }
    const low = top + 86;
    picture.line([[BACKEND + WIDE / 2, top + 70], [BACKEND + WIDE / 2, low], [CLIENT + WIDE / 2, low]], "backend");
    picture.arrow([CLIENT + WIDE / 2, low], [CLIENT + WIDE / 2, top + 72], "", { colour: "backend" });
    picture.text(BOX + WIDE / 2, low + 17, direct, { anchor: "middle", size: 12 });
  });
  return picture;
}

function choice(): Picture {
  const picture = new Picture(840, 300, "Who gets a packet: its session's backend, else one of those that may");
  picture.box(20, 30, 150, 56, "client", "packet", "of a client");
  picture.box(250, 30, 190, 56, "box", "session?", "both ends are known");
  picture.box(640, 30, 180, 56, "backend", "its backend", "if that is still usable");
  picture.arrow([170, 58], [250, 58]);
  picture.arrow([440, 58], [640, 58], "yes");
  picture.arrow([345, 86], [345, 128]);
  picture.text(356, 112, "no, or its backend is out", { size: 12 });
  picture.box(
    20,
    128,
    420,
    72,
    "box",
    "who may have a new session",
    "healthy, weight above 0, not drained;",
    "if none is: backups; too few: fail_open",
  );
  picture.arrow([230, 200], [230, 228]);
  picture.box(20, 228, 420, 56, "box", "Maglev table by weights", "affinity: flow, source, or none (next in turn)");
  picture.box(640, 228, 180, 56, "backend", "a new session", "until idle_timeout");
  picture.arrow([440, 256], [640, 256], "below max_sessions");
  picture.box(640, 136, 180, 56, "bad", "dropped", "no_backend");
  picture.arrow([440, 164], [640, 164], "nobody: none_left", { colour: "bad", dashed: true });
  return picture;
}

function health(): Picture {
  const picture = new Picture(840, 236, "What speaks against a backend, and what brings it back");
  picture.box(20, 30, 230, 76, "box", "checks", "udp, dns, tcp, icmp", "every interval");
  picture.box(20, 134, 230, 76, "client", "passive", "sessions without answers,", "ICMP unreachable");
  picture.box(370, 82, 180, 76, "backend", "in use");
  picture.box(640, 82, 180, 76, "bad", "out", "no new sessions,", "those it has move");
  picture.arrow([250, 68], [370, 104]);
  picture.arrow([250, 172], [370, 136]);
  picture.arrow([550, 104], [640, 104], "", { colour: "bad" });
  picture.text(595, 76, "fall failures, or no_answer", { anchor: "middle", size: 12 });
  picture.arrow([640, 138], [550, 138], "", { colour: "backend" });
  picture.text(595, 176, "rise successes, or pause", { anchor: "middle", size: 12 });
  picture.text(595, 200, "the last backend of a rule stays in", { anchor: "middle", size: 12, quiet: true });
  picture.text(595, 218, "use against passive health", { anchor: "middle", size: 12, quiet: true });
  return picture;
}

function drain(): Picture {
  const picture = new Picture(840, 260, "The sessions of a backend that drains, over time");
  const [left, right, bottom] = [70, 800, 200];
  picture.text(20, 26, "sessions with the backend", { bold: true });
  picture.arrow([left, bottom], [left, 36]).arrow([left, bottom], [right, bottom]);
  picture.text(right, bottom + 18, "time", { anchor: "end", quiet: true });
  picture.line([[left, 80], [250, 76], [330, 112], [420, 148], [520, 176], [640, 196], [700, 200]], "backend", {
    wide: 3,
  });
  for (
    const [x, ...lines] of [
      [250, "drain, weight: 0", "no new sessions"],
      [700, "0 sessions", "remove or stop it"],
    ] as const
  ) {
    picture.line([[x, 44], [x, bottom]], "plain", { dashed: true });
    lines.forEach((line, index) =>
      picture.text(x, bottom + 24 + 17 * index, line, { anchor: "middle", bold: index === 0 })
    );
  }
  picture.line([[250, 76], [262, 200]], "bad", { dashed: true });
  picture.text(276, 60, "move: its clients' next packets go to others", { size: 12 });
  picture.text(474, 136, "drain: each session ends by itself", { size: 12 });
  return picture;
}

function range(): Picture {
  const picture = new Picture(840, 226, "Ports that are kept, and a range that becomes a range");
  picture.text(20, 26, 'to: ["10.0.0.11"]', { bold: true });
  picture.box(20, 40, 200, 56, "client", "5060, 10000-19999", "the rule's ports");
  picture.box(620, 40, 200, 56, "backend", "5060, 10000-19999", "at 10.0.0.11");
  picture.arrow([220, 60], [620, 60], "for 10017: to 10.0.0.11:10017");
  picture.text(20, 132, 'to: ["10.0.0.12:30000-30099"]', { bold: true });
  picture.box(20, 146, 200, 56, "client", "27000-27099", "the rule's ports");
  picture.box(620, 146, 200, 56, "backend", "30000-30099", "at 10.0.0.12");
  picture.arrow([220, 166], [620, 166], "for 27015, the 16th: to 10.0.0.12:30015");
  picture.arrow([620, 188], [220, 188], "answers come from that port", { colour: "backend", below: true });
  return picture;
}

function icmp(): Picture {
  const picture = new Picture(840, 226, "An ICMP error about a packet to a backend, told to the client");
  picture.box(20, 40, 170, 76, "client", "client", "ECONNREFUSED,", "or a path MTU");
  picture.box(330, 40, 180, 76, "box", "xdpsteer", "finds the session,", "translates the quote");
  picture.box(660, 40, 160, 76, "backend", "backend", "port closed");
  picture.arrow([190, 62], [330, 62], "to service:53");
  picture.arrow([510, 62], [660, 62], "to backend:5353");
  picture.arrow([660, 94], [510, 94], "ICMP error", { colour: "bad", below: true });
  picture.arrow([330, 94], [190, 94], "ICMP error", { colour: "bad", below: true });
  picture.text(585, 140, "quotes box:61007 > backend:5353", { anchor: "middle", size: 12 });
  picture.text(585, 158, "from the backend, or a router", { anchor: "middle", size: 12, quiet: true });
  picture.text(260, 140, "quotes client:40000 > service:53", { anchor: "middle", size: 12 });
  picture.text(260, 158, "from the service's address", { anchor: "middle", size: 12, quiet: true });
  picture.text(20, 200, "At most 100 a second and worker, 10 for one client: the rest is error_limited.", { size: 12 });
  picture.text(20, 216, "What quotes no session's packet is error_unmatched.", { size: 12 });
  return picture;
}

if (import.meta.main) {
  for (const [name, draw] of Object.entries(PICTURES)) {
    await Deno.writeTextFile(new URL(`../docs/images/${name}.svg`, import.meta.url), draw().svg());
  }
}
