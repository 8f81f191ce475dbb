/** Making and filling elements. All text goes in as text: nothing that came over the wire is ever parsed as HTML. */

export function byId(id) {
  return document.getElementById(id);
}

/** Sets the text of an element, and touches it only if it differs. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className !== "") element.className = className;
  if (text !== "") element.textContent = text;
  return element;
}

/**
 * Brings the rows of a table body in line with `rows`: each a list of cells, a string or { text, className, header,
 * swatch, spark }. Cells stay where they are and only their text changes, so that a selection survives.
 */
export function fillRows(body, rows) {
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((cells, index) => {
    const row = body.rows[index] ?? body.insertRow();
    row.setAttribute("role", "row"); // said aloud, since a narrow screen shows rows as cards
    const headed = row.cells[0]?.tagName === "TH";
    if (row.cells.length !== cells.length || headed !== (cells[0].header === true)) {
      row.replaceChildren(...cells.map(makeCell));
    }
    cells.forEach((cell, at) => fillCell(row.cells[at], typeof cell === "string" ? { text: cell } : cell));
  });
}

function makeCell(cell) {
  const element = make(cell.header === true ? "th" : "td");
  if (cell.header === true) element.scope = "row";
  element.setAttribute("role", cell.header === true ? "rowheader" : "cell");
  if (cell.swatch !== undefined) {
    const swatch = make("span", "swatch");
    swatch.setAttribute("aria-hidden", "true");
    element.append(swatch, make("span"));
  }
  if (cell.spark !== undefined) element.append(make("span"), sparkline());
  return element;
}

function fillCell(element, { text, className = "", swatch, key, spark }) {
  if (element.className !== className) element.className = className;
  if (key !== undefined) element.dataset.key = key;
  if (swatch !== undefined && element.firstElementChild !== null) {
    element.firstElementChild.style.backgroundColor = swatch;
    setText(element.lastElementChild, text);
  } else if (spark !== undefined && element.lastElementChild !== null) {
    setText(element.firstElementChild, text);
    element.lastElementChild.firstElementChild.setAttribute("points", sparkPoints(spark.values, spark.most));
  } else {
    setText(element, text);
  }
}

const SPARK = { width: 90, height: 18 };

/** A small line without scale, for the eye only: the number next to it is what counts. */
function sparkline() {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "spark");
  svg.setAttribute("viewBox", `0 0 ${SPARK.width} ${SPARK.height}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS("http://www.w3.org/2000/svg", "polyline"));
  return svg;
}

function sparkPoints(values, most = Math.max(1, ...values)) {
  const step = SPARK.width / Math.max(1, values.length - 1);
  return values.map((value, at) =>
    `${(at * step).toFixed(1)},${(SPARK.height - 1.5 - value / most * (SPARK.height - 3)).toFixed(1)}`
  ).join(" ");
}
