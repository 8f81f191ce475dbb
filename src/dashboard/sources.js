/** Who sends most: asked for each second while its part of the page is open, since the box counts only then. */
import { byId, fillRows, setText } from "./dom.js";
import * as format from "./format.js";

const SHOWN = 10;
const AGAIN_MS = 1000;

/** Follows the part of the page that shows them. */
export function bindSources() {
  const details = byId("sources-details");
  let timer;
  const look = async () => {
    try {
      const answer = await fetch(`/v1/sources?count=${SHOWN}`);
      if (!answer.ok) throw new Error((await answer.json()).error);
      show(await answer.json());
    } catch (error) {
      setText(byId("sources-note"), `Not known: ${error.message}`);
    }
    if (details.open) timer = setTimeout(look, AGAIN_MS);
  };
  details.addEventListener("toggle", () => {
    clearTimeout(timer);
    if (details.open) look();
  });
}

function show({ packetsPerSecond, seen, sources }) {
  const from = `${format.count(seen)} ${seen === 1 ? "source" : "sources"}`;
  setText(byId("sources-note"), `${format.rate(packetsPerSecond)} packets per second from ${from}`);
  fillRows(
    byId("sources"),
    sources.map(({ source, rule, packetsPerSecond, bytesPerSecond, ban }) => [
      { text: source, header: true },
      rule,
      { text: format.rate(packetsPerSecond), className: "number", key: "rate" },
      { text: format.short(bytesPerSecond), className: "number" },
      { text: ban, className: "command" },
    ]),
  );
}
