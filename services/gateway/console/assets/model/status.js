// One glyph and one word for each state. Shapes differ, so that colour never says anything alone.

/** Paths in a 16 × 16 box, drawn with a stroke of 1.6. */
export const GLYPHS = {
  pending: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 1 0 0-11",
  running: "M5 3.2v9.6l8-4.8z",
  waiting: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 1 0 0-11M8 5v3.2l2.2 1.6",
  paused: "M5.5 3.5v9M10.5 3.5v9",
  completed: "M3 8.6l3.2 3.2L13 4.8",
  failed: "M4 4l8 8M12 4l-8 8",
  skipped: "M3.5 4.5L8 8l-4.5 3.5M8.5 4.5L13 8l-4.5 3.5",
  cancelled: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 1 0 0-11M4.2 11.8l7.6-7.6",
};

export const STATUSES = ["running", "waiting", "pending", "paused", "completed", "failed", "cancelled"];

/** What may be asked of an execution with this status. */
export function controlsFor({ status, pendingControl }) {
  const open = !["completed", "failed", "cancelled"].includes(status);
  const cancelling = pendingControl === "cancel";
  return {
    pause: open && status !== "paused" && !pendingControl,
    resume: (status === "paused" || pendingControl === "pause") && !cancelling,
    cancel: open && !cancelling,
    retry: status === "failed" || status === "cancelled",
  };
}
