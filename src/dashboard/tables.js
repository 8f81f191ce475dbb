/** The tables that change each second: rules, queues and workers, reasons. */
import { byId, fillRows, make, setText } from "./dom.js";
import * as format from "./format.js";
import { portsText, workerText } from "./port_map.js";
import { paletteColour } from "./theme.js";

const RULES_SHOWN = 100;

/** What is told of the reasons of each place; of others nothing. */
const OUTCOME = {
  "xdp drop": "dropped by XDP",
  "xdp pass": "left to the kernel",
  "socket drop": "lost at a socket",
  "worker drop": "dropped by a worker",
};

/** @param colourOf Palette index by rule index; negative: none. */
export function showRules(model, filter, colourOf) {
  const { rules } = model.config;
  const wanted = filter.trim().toLowerCase();
  const fitting = rules.map((rule, index) => ({ rule, index })).filter(({ rule }) => fits(rule, wanted));
  if (fitting.length > RULES_SHOWN) {
    fitting.sort((left, right) =>
      model.tick.rules[right.index][3] - model.tick.rules[left.index][3] || left.index - right.index
    );
  }
  const lost = model.sumReasons((outcome) => outcome.where === "socket" && outcome.lost);
  const atSockets = [
    { text: "(at sockets)", header: true, swatch: "transparent" },
    { text: "of all rules", className: "ports" },
    { text: "", key: "worker" },
    { text: "lost", className: "lost" },
    { text: format.rate(lost[1]), className: "number lost", key: "rate" },
    { text: format.count(lost[0]), className: "number lost", key: "packets" },
  ];
  fillRows(byId("rules"), [
    ...fitting.slice(0, RULES_SHOWN).map(({ rule, index }) => [
      { text: rule.name, header: true, swatch: colourOf(index) < 0 ? "transparent" : paletteColour(colourOf(index)) },
      { text: portsText(rule), className: "ports" },
      { text: workerText(rule), key: "worker" },
      rule.action,
      { text: format.rate(model.tick.rules[index][3]), className: "number", key: "rate" },
      { text: format.count(model.rulePackets(index)), className: "number", key: "packets" },
      { text: answersText(rule, model.tick.rules[index][4]), className: "number", key: "answers" },
    ]),
    ...(lost[0] > 0 ? [atSockets] : []),
  ]);
  const more = byId("rules-more");
  more.hidden = fitting.length <= RULES_SHOWN && (fitting.length > 0 || rules.length === 0);
  setText(
    more,
    fitting.length === 0
      ? `None of ${format.count(rules.length)} ${rules.length === 1 ? "rule" : "rules"} fits.`
      : `The busiest ${RULES_SHOWN} of ${format.count(fitting.length)} rules: find others by name or port.`,
  );
  byId("rule-search").hidden = rules.length < 2;
}

/** What backends or local programs answer passes here; with direct server return it does not. */
function answersText({ action }, rate) {
  return rate > 0 || action === "forward" || action === "deliver" ? format.rate(rate) : "";
}

function fits({ name, ports }, wanted) {
  if (wanted === "" || name.toLowerCase().includes(wanted)) return true;
  const port = Number(wanted);
  return Number.isInteger(port) && ports.split(",").some((part) => {
    const [first, last = first] = part.split("-").map(Number);
    return first <= port && port <= last;
  });
}

/** Backends that are in trouble, and those that leave, come first. */
export function showBackends({ tick: { backends, backendCount } }) {
  byId("backends-card").hidden = backendCount === 0;
  const more = backendCount - backends.length;
  setText(byId("backends-note"), more > 0 ? `the ${backends.length} most urgent of ${format.count(backendCount)}` : "");
  fillRows(
    byId("backends"),
    backends.map((
      { name, names, rules, state, via, nextHop, sessions, toRate, fromRate, lastAnswer, answerTime, why, mark },
    ) => [
      { text: names === "" ? name : `${name} (${names})`, header: true },
      rules.replaceAll(",", ", "),
      { text: state, className: mark === "bad" ? "lost" : mark === "leaving" ? "leaving" : "" },
      `${via}${nextHop === "unknown" ? " (next hop unknown)" : ""}`,
      { text: format.count(sessions), className: "number", key: "sessions" },
      { text: format.rate(toRate), className: "number" },
      { text: format.rate(fromRate), className: "number" },
      { text: lastAnswer, className: "number" },
      { text: answerTime, className: "number" },
      why,
    ]),
  );
}

/** One row per queue, one column per worker; with many workers it scrolls sideways within its own frame. */
export function showMatrix(model) {
  const { hello, tick } = model;
  const places = model.places();
  const workers = hello.workers.length;
  const several = hello.interfaces.length > 1;
  fillHead(byId("matrix-head"), ["Queue", ...hello.workers.map((_, worker) => `Worker ${worker}`)]);
  const rates = tick.places.map(([, rate]) => rate);
  const most = Math.max(1, ...rates);
  const body = byId("matrix");
  fillCells(
    body,
    places.map((place, at) => ({
      head: several ? `${place.interface} ${place.queue}` : `${place.queue}`,
      cells: Array.from({ length: workers }, (_, worker) => {
        const [packets, perSecond] = tick.places[worker * places.length + at];
        const [lost, lostRate] = tick.socketDrops[worker * places.length + at];
        return { packets, perSecond, lost, lostRate, heat: perSecond / most };
      }),
    })),
  );
  fillRows(byId("matrix-foot"), [[
    { text: "Busy", header: true },
    ...tick.workers.map(({ busyPercent, state }, worker) => ({
      text: state === "running" ? `${busyPercent} %` : state,
      className: state === "running" ? "number busy" : "number busy lost",
      spark: { values: model.busy[worker], most: 100 },
    })),
  ]]);
}

function fillHead(head, names) {
  const now = [...head.querySelectorAll("th")].map(({ textContent }) => textContent);
  if (now.join() === names.join()) return;
  const row = make("tr");
  row.append(...names.map((name, index) => {
    const cell = make("th", index === 0 ? "" : "number", name);
    cell.scope = "col";
    return cell;
  }));
  head.replaceChildren(row);
}

function fillCells(body, rows) {
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach(({ head, cells }, index) => {
    const row = body.rows[index] ?? body.insertRow();
    if (row.cells.length !== cells.length + 1) {
      const first = make("th");
      first.scope = "row";
      row.replaceChildren(
        first,
        ...cells.map(() => {
          const cell = make("td", "number");
          cell.append(make("span"), make("span", "cell-quiet"), make("span", "cell-quiet"));
          return cell;
        }),
      );
    }
    setText(row.cells[0], head);
    cells.forEach(({ packets, perSecond, lost, lostRate, heat }, at) => {
      const cell = row.cells[at + 1];
      const [rate, total, drops] = cell.children;
      cell.style.backgroundColor = heat > 0 ? `rgba(var(--heat), ${(0.04 + heat * 0.16).toFixed(3)})` : "";
      setText(rate, `${format.rate(perSecond)}/s`);
      setText(total, format.count(packets));
      setText(drops, lost > 0 ? `lost ${format.count(lost)}${lostRate > 0 ? `, ${format.rate(lostRate)}/s` : ""}` : "");
      drops.classList.toggle("lost", lost > 0);
    });
  });
}

/** Reasons that have counted something, drops first. */
export function showReasons(model) {
  const rows = model.hello.reasons
    .map((reason, index) => ({ ...reason, index, outcome: OUTCOME[`${reason.where} ${reason.verdict}`] }))
    .filter(({ outcome, index }) => outcome !== undefined && model.tick.reasons[index][0] > 0)
    .sort((left, right) =>
      Number(left.verdict === "pass") - Number(right.verdict === "pass") || left.index - right.index
    )
    .map(({ reason, outcome, words, packets: counts, index }) => {
      const [packets, perSecond] = model.tick.reasons[index];
      return [
        { text: words, header: true, key: reason },
        counts ? outcome : "not packets: says why",
        { text: format.rate(perSecond), className: "number" },
        { text: format.count(packets), className: "number", key: "packets" },
        { text: "", className: "spark-cell", spark: { values: model.reasonRates[index] } },
      ];
    });
  fillRows(byId("reasons"), rows.length > 0 ? rows : [[{ text: "None so far", className: "nothing" }, "", "", "", ""]]);
}
