/** Everything that is neither a chart nor a table: figures, the connection, the configuration, events. */
import { byId, make, setText } from "./dom.js";
import * as format from "./format.js";

const STATES = {
  connecting: "connecting",
  live: "live",
  stale: "stale: no news",
  reconnecting: "reconnecting",
};

export function showState(state) {
  const pill = byId("connection");
  if (pill.dataset.state === state) return;
  pill.dataset.state = state;
  setText(pill, STATES[state]);
}

export function showAbout({ version, interfaces, workers, startedMs }) {
  const devices = interfaces.map(({ name, attach, queues }) => {
    const zeroCopy = queues.length > 0 && queues.every((queue) => queue.zeroCopy) ? ", zero-copy" : "";
    return `${name} (${attach} XDP, ${plural(queues.length, "queue")}${zeroCopy})`;
  });
  setText(byId("about"), `${version} · ${devices.join(", ")} · ${plural(workers.length, "worker")}`);
  const started = new Date(startedMs);
  const day = started.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  setText(byId("figure-started"), `since ${day}, ${format.clock(startedMs).slice(0, 5)}`);
  document.title = `xdpsteer · ${interfaces.map(({ name }) => name).join(", ")}`;
}

export function showFigures(model) {
  const { tick } = model;
  const redirected = model.sumReasons(({ where, verdict }) => where === "xdp" && verdict === "redirect");
  const dropped = model.sumReasons(({ where, verdict }) => where === "xdp" && verdict === "drop");
  const lost = model.sumReasons((outcome) => outcome.lost);
  setText(byId("figure-pps"), format.rate(tick.seen[1]));
  setText(byId("figure-seen"), `${format.count(tick.seen[0])} seen`);
  setText(byId("figure-redirected"), format.count(redirected[0]));
  setText(byId("figure-redirected-rate"), `${format.rate(redirected[1])}/s`);
  setText(byId("figure-dropped"), format.count(dropped[0]));
  setText(byId("figure-dropped-rate"), `${format.rate(dropped[1])}/s`);
  setText(byId("figure-lost"), format.count(lost[0]));
  setText(byId("figure-lost-rate"), lost[1] > 0 ? `${format.rate(lost[1])}/s now` : lost[0] > 0 ? "none now" : "none");
  byId("figure-lost-tile").classList.toggle("alarm", lost[1] > 0);
  setText(byId("figure-generation"), format.count(tick.generation));
  setText(byId("figure-uptime"), format.duration(tick.uptimeMs));
}

/** What is wrong stands on top, in words and with what to do; the whole page has its colour. */
export function showProblems({ ready, problems, problemCount, workers }) {
  const shown = problems.map(({ severity, message, since, fix, detail }) => ({
    kind: severity === "critical" ? "bad" : "warn",
    title: message,
    since: `since ${format.clock(Date.parse(since))}`,
    fix,
    detail,
  }));
  if (!ready && shown.every(({ kind }) => kind !== "bad")) {
    const failed = workers.flatMap(({ state }, worker) => (state === "running" ? [] : [`worker ${worker} ${state}`]));
    shown.unshift({ kind: "bad", title: "The box does not steer", since: failed.join(", "), fix: null, detail: null });
  }
  const worst = shown.length === 0 ? "none" : shown.some(({ kind }) => kind === "bad") ? "bad" : "warn";
  document.body.dataset.worst = worst;
  const pill = byId("health");
  pill.dataset.state = worst;
  setText(pill, problemCount > 0 ? plural(problemCount, "problem") : ready ? "no problems" : "not ready");
  const box = byId("alerts");
  const key = JSON.stringify([shown, problemCount]);
  if (box.dataset.shown === key) return;
  box.dataset.shown = key;
  const more = problemCount - problems.length;
  box.replaceChildren(
    ...shown.map(notice),
    ...(more > 0 ? [make("p", "quiet more", `and ${format.count(more)} more: xdpsteer status`)] : []),
  );
}

function notice({ kind, title, since, fix, detail }) {
  const element = make("div", `notice ${kind}`);
  element.append(make("strong", "", title));
  if (detail !== null) {
    const text = make("pre", "", detail);
    text.tabIndex = 0;
    element.append(text);
  }
  const foot = make("p", "foot");
  if (fix !== null) foot.append("Fix: ", make("code", "", fix), since === "" ? "" : " · ");
  foot.append(since);
  element.append(foot);
  return element;
}

/** How the last change went; what was refused to somebody else is not the box's problem. */
export function showReload({ lastReload, reloads }) {
  const counts = `${reloads.applied} applied, ${reloads.refused} refused`;
  setText(byId("figure-reload"), lastReload === null ? "as it started" : counts);
  const note = byId("config-reload");
  note.hidden = lastReload === null;
  if (note.hidden) return;
  const { result, time, message } = lastReload;
  const words = result === "refused" ? `refused: ${message}` : message === "" ? "nothing differed" : message;
  setText(note, `Last change, ${format.clock(Date.parse(time))}: ${words}`);
}

export function showConfig({ generation, rules, interfaces, workers, control, log }, { configFile }) {
  setText(byId("config-generation"), `generation ${generation}`);
  const facts = [
    ["File", configFile],
    ["Rules", `${format.count(rules.length)}`],
    ...interfaces.map((device) => [
      `Interface ${device.name}`,
      `attach ${device.attach}, zero copy ${device.zeroCopy}, queues ${[device.queues].flat().join(", ")}, ` +
      `${format.count(device.umem.chunks)} chunks of ${device.umem.chunkSize} bytes a queue`,
    ]),
    [
      "Workers",
      `${workers.count}, wait ${workers.wait}${workers.cpus.length > 0 ? `, on CPUs ${workers.cpus.join(", ")}` : ""}`,
    ],
    ["Control socket", control.socket],
    ["Log", `${log.level}, ${log.format}`],
  ];
  byId("config").replaceChildren(...facts.flatMap(([name, text]) => [make("dt", "", name), make("dd", "", text)]));
  setText(byId("config-json"), JSON.stringify({ interfaces, workers, steering: rules, control, log }, null, 2));
}

const EVENTS_SHOWN = 50;

/**
 * Puts an event on top, in lines again where the log has it in one; only newcomers are added, so that a screen reader
 * says each once.
 */
export function addEvent({ id, time, level, message }) {
  const item = make("li");
  item.dataset.id = id;
  const when = make("time", "", format.clock(Date.parse(time)));
  when.dateTime = time;
  const kind = make("span", "level", level);
  kind.dataset.level = level;
  item.append(when, kind, make("p", "", message.replaceAll("\\n", "\n")));
  const list = byId("events");
  list.prepend(item);
  while (list.children.length > EVENTS_SHOWN) list.lastElementChild.remove();
}

export function clearEvents() {
  byId("events").replaceChildren();
}

function plural(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
