// Charts over time, on uPlot. The numbers stand in a table beside every chart, so the picture is hidden from
// screen readers.
import uPlot from "../vendor/uplot.mjs";
import { html, useEffect, useRef } from "../lib/html.js";
import { readPalette } from "../graph/palette.js";
import { themeVersion } from "../lib/preferences.js";

/**
 * at: instants in seconds. series: [{label, values, colour: state word or "ink", bars?}]; bars are stacked in order.
 * write(value): as text.
 */
export function Chart({ title, at, series, height = 180, write = String }) {
  const host = useRef(null);
  const version = themeVersion.value;
  useEffect(() => {
    const palette = readPalette(host.current);
    const colour = (word) => palette[word]?.ink ?? palette[word];
    const stacked = stack(series);
    const axis = { stroke: palette.muted, grid: { stroke: palette.line, width: 1 }, ticks: { show: false }, font: "11px system-ui", labelFont: "11px system-ui" };
    const plot = new uPlot({
      width: host.current.clientWidth || 400, height,
      cursor: { points: { size: 6 }, y: false },
      legend: { live: true },
      scales: { y: { range: (_, low, high) => [0, Math.max(high * 1.08, 1)] } },
      axes: [{ ...axis, grid: { show: false }, values: (_, ticks) => ticks.map(clock) }, { ...axis, size: 54, values: (_, ticks) => ticks.map(write) }],
      series: [{}, ...stacked.map((one) => ({
        label: one.label, stroke: colour(one.colour), width: one.bars ? 0 : 1.6, fill: one.bars ? colour(one.colour) : undefined,
        paths: one.bars ? uPlot.paths.bars({ size: [0.75, 36] }) : undefined, points: { show: !one.bars && at.length < 40, size: 4 },
        spanGaps: true, value: (_, value, seriesIndex, index) => (index === null || index === undefined ? "–" : write(one.values[index] ?? 0)),
      }))],
    }, [at, ...stacked.map((one) => one.heights)], host.current);
    const observer = new ResizeObserver(() => { if (host.current?.clientWidth) plot.setSize({ width: host.current.clientWidth, height }); });
    observer.observe(host.current);
    return () => { observer.disconnect(); plot.destroy(); };
  }, [at, series, version]);
  return html`<figure class="chart"><figcaption>${title}</figcaption><div class="chart-box" aria-hidden="true" ref=${host}></div></figure>`;
}

/** "14:00", or the day at midnight. */
function clock(seconds) {
  const date = new Date(seconds * 1000);
  if (date.getHours() || date.getMinutes()) return date.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  return date.toLocaleDateString(undefined, { day: "numeric", month: "short" });
}

/** Bars of the same chart stand on one another: the highest is painted first. */
function stack(series) {
  const sums = [];
  const placed = series.map((one) => {
    if (!one.bars) return { ...one, heights: one.values };
    const heights = one.values.map((value, index) => (sums[index] = (sums[index] ?? 0) + (value ?? 0)));
    return { ...one, heights };
  });
  return [...placed.filter((one) => one.bars).reverse(), ...placed.filter((one) => !one.bars)];
}
