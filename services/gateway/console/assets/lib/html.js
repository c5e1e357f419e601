// One door to the libraries, so that pages import from one place.
import { Fragment, createElement, render } from "preact";
import { useCallback, useEffect, useImperativeHandle, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { batch, computed, effect, signal, untracked } from "@preact/signals-core";
import { useComputed, useSignal, useSignalEffect } from "@preact/signals";
import htm from "htm";

export const html = htm.bind(createElement);
export {
  Fragment, batch, computed, effect, render, signal, untracked, useCallback, useComputed, useEffect, useImperativeHandle,
  useLayoutEffect, useMemo, useRef, useSignal, useSignalEffect, useState,
};

/** Class names of what is true: names("row", {open: true}) is "row open". */
export function names(...parts) {
  return parts.flatMap((part) => !part ? [] : typeof part === "string" ? [part]
    : Object.keys(part).filter((name) => part[name])).join(" ");
}
