// What this browser remembers.
import { effect, signal } from "./html.js";

/** A signal that is kept in this browser. */
export function preference(name, fallback) {
  const key = `flow.${name}`;
  let kept = null;
  try { kept = JSON.parse(localStorage.getItem(key)); } catch { /* unreadable: as if there were none */ }
  const value = signal(kept ?? fallback);
  effect(() => {
    if (value.value === fallback) localStorage.removeItem(key);
    else localStorage.setItem(key, JSON.stringify(value.value));
  });
  return value;
}

/** "auto", "light" or "dark" */
export const theme = preference("theme", "auto");
/** Changes whenever colours do. */
export const themeVersion = signal(0);

effect(() => {
  if (theme.value === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
  queueMicrotask(() => { themeVersion.value += 1; });
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { themeVersion.value += 1; });
