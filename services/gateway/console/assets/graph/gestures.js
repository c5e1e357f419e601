// Mouse, touch and wheel on the graph: drag pans, two fingers or the wheel zoom, a click chooses.
const CLICK_SLOP = 5;

/** actions: {pan(dx, dy), zoom(factor, x, y), click(x, y, event), hover(x, y), double(x, y)}. Returns an end. */
export function gestures(element, actions) {
  const pointers = new Map();
  let moved = 0;
  let gap = 0;
  const at = (event) => {
    const box = element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };

  const down = (event) => {
    if (event.button) return;
    element.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
    if (pointers.size === 1) moved = 0;
    gap = distance(pointers);
  };
  const move = (event) => {
    const old = pointers.get(event.pointerId);
    const place = at(event);
    if (!old) return actions.hover(place.x, place.y);
    pointers.set(event.pointerId, place);
    const [dx, dy] = [place.x - old.x, place.y - old.y];
    moved += Math.abs(dx) + Math.abs(dy);
    if (pointers.size === 1 && moved > CLICK_SLOP) actions.pan(dx, dy);
    if (pointers.size === 2) {
      const next = distance(pointers);
      const [a, b] = [...pointers.values()];
      actions.pan(dx / 2, dy / 2);
      if (gap) actions.zoom(next / gap, (a.x + b.x) / 2, (a.y + b.y) / 2);
      gap = next;
    }
    return undefined;
  };
  const up = (event) => {
    const was = pointers.get(event.pointerId);
    pointers.delete(event.pointerId);
    gap = distance(pointers);
    if (was && moved <= CLICK_SLOP && event.type === "pointerup") actions.click(was.x, was.y, event);
  };
  const double = (event) => { const { x, y } = at(event); actions.double(x, y); };
  const wheel = (event) => {
    event.preventDefault();
    const { x, y } = at(event);
    const unit = event.deltaMode === 1 ? 16 : 1;
    const notched = event.deltaX === 0 && (event.deltaMode === 1 || Math.abs(event.deltaY) >= 80);
    if (event.ctrlKey || event.metaKey || notched) actions.zoom(Math.exp(-event.deltaY * unit * (notched ? 0.0016 : 0.01)), x, y);
    else if (event.shiftKey) actions.pan(-event.deltaY * unit, 0);
    else actions.pan(-event.deltaX * unit, -event.deltaY * unit);
  };
  const leave = () => actions.hover(-1, -1);

  const heard = [["pointerdown", down], ["pointermove", move], ["pointerup", up], ["pointercancel", up],
    ["pointerleave", leave], ["dblclick", double]];
  for (const [name, listener] of heard) element.addEventListener(name, listener);
  element.addEventListener("wheel", wheel, { passive: false });
  return () => {
    for (const [name, listener] of heard) element.removeEventListener(name, listener);
    element.removeEventListener("wheel", wheel);
  };
}

function distance(pointers) {
  if (pointers.size !== 2) return 0;
  const [a, b] = [...pointers.values()];
  return Math.hypot(a.x - b.x, a.y - b.y);
}
