/** Numbers and times as people read them. */

const WHOLE = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const TENTHS = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });
const UNITS = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];

/** Every digit: 1,234,567. */
export function count(value) {
  return WHOLE.format(value);
}

/** Packets per second: as exact as somebody reads it while it moves. */
export function rate(value) {
  if (value >= 10_000) return short(value);
  return value >= 100 || value === 0 ? WHOLE.format(value) : TENTHS.format(value);
}

/** Three digits that count: 1.23 M. */
export function short(value) {
  for (const [size, unit] of UNITS) {
    if (value >= size) return `${(value / size).toFixed(value >= size * 100 ? 0 : value >= size * 10 ? 1 : 2)} ${unit}`;
  }
  return WHOLE.format(value);
}

/** 3 d 4 h, 4 h 5 min, 5 min 6 s, 7 s. */
export function duration(ms) {
  const seconds = Math.floor(ms / 1000);
  const parts = [[86_400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = parts.findIndex(([size]) => seconds >= size);
  if (first < 0) return "0 s";
  return parts.slice(first, first + 2)
    .map(([size, unit], index) =>
      `${Math.floor(index === 0 ? seconds / size : seconds % parts[first][0] / size)} ${unit}`
    )
    .join(" ");
}

/** Hours, minutes and seconds where the reader is. */
export function clock(time) {
  return new Date(time).toLocaleTimeString("en-GB");
}
