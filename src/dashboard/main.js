/** The dashboard: what comes over the stream is put on the page. */
import { LineChart } from "./charts.js";
import { connect } from "./connection.js";
import { byId, setText } from "./dom.js";
import { Model } from "./model.js";
import * as panels from "./panels.js";
import { fillMapLegend, fillRanges, PortMap } from "./port_map.js";
import { bindSources } from "./sources.js";
import { showBackends, showMatrix, showReasons, showRules } from "./tables.js";
import { bindThemeButton, onTheme } from "./theme.js";

/** As many lines as can be told apart. */
const LINES = 8;
/** How often the busiest are chosen anew, in ticks: lines that come and go each second cannot be read. */
const CHOOSE_TICKS = 15;

const model = new Model();
const ruleChart = new LineChart(byId("rule-chart"), byId("rule-legend"), "Packets per second by rule");
const workerChart = new LineChart(byId("worker-chart"), byId("worker-legend"), "Packets per second by worker");
const map = new PortMap(byId("map"), byId("map-tip"), byId("map-port"), byId("map-owner"));
const filter = byId("rule-filter");
let charted = [];
let ticks = 0;

bindThemeButton(byId("theme"));
bindSources();
filter.addEventListener("input", () => model.tick && showRules(model, filter.value, colourOf));
onTheme(() => {
  if (model.config === undefined || model.tick === undefined) return;
  fillMapLegend(byId("map-legend"), model.config.rules);
  showRules(model, filter.value, colourOf);
});

connect({
  hello(data) {
    const before = model.hello?.pid;
    model.setHello(data);
    if (before !== data.pid) panels.clearEvents();
    panels.showAbout(data);
  },
  config(data) {
    model.setConfig(data);
    charted = [];
    panels.showConfig(data, model.hello);
    fillRanges(byId("map-ranges"), byId("map-note"), map.show(data.rules));
    fillMapLegend(byId("map-legend"), data.rules);
  },
  tick(data) {
    model.setTick(data);
    show();
  },
  log(event) {
    if (model.addEvent(event)) panels.addEvent(event);
  },
}, panels.showState);

function show() {
  panels.showFigures(model);
  panels.showProblems(model.tick);
  panels.showReload(model.tick);
  if (charted.length === 0 || ticks++ % CHOOSE_TICKS === 0) charted = model.busiestRules(LINES);
  showRules(model, filter.value, colourOf);
  showBackends(model);
  showMatrix(model);
  showReasons(model);
  const { rules } = model.config;
  const none = new Array(model.times.length).fill(0);
  ruleChart.show(
    model.times,
    charted.map((index) => ({
      label: rules[index].name,
      colourIndex: colourOf(index),
      values: model.ruleRates.get(rules[index].name) ?? none,
    })),
  );
  const shown = rules.length > LINES ? `the ${LINES} busiest of ${rules.length} rules, ` : "";
  setText(byId("rule-chart-note"), `${shown}last 5 minutes`);
  const workers = busiestWorkers();
  workerChart.show(
    model.times,
    workers.map((worker, at) => ({
      label: `worker ${worker}`,
      colourIndex: model.workerRates.length <= LINES ? worker : at,
      values: model.workerRates[worker],
    })),
  );
}

/** A rule has its own colour while there are enough; with more rules only those in the chart have one. */
function colourOf(index) {
  return model.config.rules.length <= LINES ? index : charted.indexOf(index);
}

function busiestWorkers() {
  const sums = model.workerRates.map((series, worker) => ({
    worker,
    sum: series.reduce((sum, rate) => sum + rate, 0),
  }));
  return sums.sort((left, right) => right.sum - left.sum || left.worker - right.worker).slice(0, LINES)
    .map(({ worker }) => worker).sort((left, right) => left - right);
}
