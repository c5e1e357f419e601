// A list of any length; only rows that can be seen exist.
import { html, useEffect, useRef, useState } from "../lib/html.js";

/** row(item, index): content of a row of `height` pixels. top: what scrolls away with the list. */
export function VirtualList({ items, height, row, label, keyOf = (_, index) => index, reveal = -1 }) {
  const box = useRef(null);
  const [view, setView] = useState({ from: 0, count: 60 });
  const measure = () => {
    const element = box.current;
    if (!element) return;
    const from = Math.max(0, Math.floor(element.scrollTop / height) - 10);
    const count = Math.ceil(element.clientHeight / height) + 20;
    setView((old) => (old.from === from && old.count === count ? old : { from, count }));
  };
  useEffect(() => {
    const observer = new ResizeObserver(measure);
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    const element = box.current;
    if (reveal < 0 || !element) return;
    if (reveal * height < element.scrollTop || (reveal + 1) * height > element.scrollTop + element.clientHeight) {
      element.scrollTop = Math.max(0, reveal * height - element.clientHeight / 3);
    }
  }, [reveal]);
  const shown = items.slice(view.from, view.from + view.count);
  return html`<div class="virtual" ref=${box} onScroll=${measure} tabIndex="0" role="region" aria-label=${label}>
    <div style=${{ height: `${items.length * height}px`, position: "relative" }}>
      <div style=${{ position: "absolute", top: `${view.from * height}px`, left: 0, right: 0 }}>
        ${shown.map((item, index) => html`<div class="virtual-row" key=${keyOf(item, view.from + index)} style=${{ height: `${height}px` }}>${row(item, view.from + index)}</div>`)}
      </div></div></div>`;
}
