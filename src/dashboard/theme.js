/**
 * Light, dark, or as the system has it. Loaded first and at once, so that the page never shows in the wrong colours.
 */

const KEY = "xdpsteer-theme";
const THEMES = ["auto", "light", "dark"];
const listeners = new Set();
let theme = stored();

apply();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tell);

function stored() {
  try {
    const value = localStorage.getItem(KEY);
    return THEMES.includes(value) ? value : "auto";
  } catch {
    return "auto"; // the browser lets pages keep nothing
  }
}

function apply() {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

function tell() {
  for (const listener of listeners) listener();
}

/** Makes a button go through the themes. */
export function bindThemeButton(button) {
  const show = () => {
    button.textContent = `Theme: ${theme}`;
  };
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // For this visit only, then.
    }
    apply();
    show();
    tell();
  });
  show();
}

/** Calls `listener` when colours have changed. */
export function onTheme(listener) {
  listeners.add(listener);
}

/** The value of a CSS custom property. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export const PALETTE_SIZE = 8;

/** The colour of the n-th rule or worker, the same everywhere on the page. */
export function paletteColour(index) {
  return colour(`--series-${index % PALETTE_SIZE}`);
}
