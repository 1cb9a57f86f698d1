import { useEffect, useRef, useState } from "preact/hooks";

import * as api from "./api";
import type { Player } from "./player";

/** The loudness of each stem over time: a byte for each span, 255 for full scale. */
export type Levels = Record<string, Uint8Array>;

/** Returns the levels of the task's stems; none until they have come, and for stems that have none. */
export function useLevels(id: string): Levels {
  const [levels, setLevels] = useState<Levels>({});
  useEffect(() => {
    let isWanted = true;
    // Stems of an earlier version have no peaks, and are heard all the same.
    void api.peaks(id).then((peaks) => isWanted && setLevels(finest(peaks)), () => {});
    return () => { isWanted = false; };
  }, [id]);
  return levels;
}

function finest(peaks: api.Peaks): Levels {
  const stems = Object.entries(peaks.resolutions[0]?.stems ?? {});
  return Object.fromEntries(stems.map(([name, text]) => [name, Uint8Array.from(atob(text), (c) => c.charCodeAt(0))]));
}

/** Draws a stem. A click moves all stems there; the slider above does the same for the keyboard. */
export function Waveform({ player, levels }: { player: Player; levels: Uint8Array }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const redraw = () => canvas.current && draw(canvas.current, levels);
    const watch = new ResizeObserver(redraw);
    watch.observe(canvas.current!);
    const theme = matchMedia("(prefers-color-scheme: dark)");
    theme.addEventListener("change", redraw);
    return () => {
      watch.disconnect();
      theme.removeEventListener("change", redraw);
    };
  }, [levels]);

  const clicked = (event: MouseEvent) => {
    const { left, width } = canvas.current!.getBoundingClientRect();
    player.seek(((event.clientX - left) / width) * player.duration_s);
  };

  const played = `${(100 * player.position_s) / player.duration_s}%`;
  return (
    <div class="waveform" aria-hidden="true" onClick={clicked}>
      <canvas ref={canvas} />
      <span class="cursor" style={{ left: played }} />
    </div>
  );
}

function draw(canvas: HTMLCanvasElement, levels: Uint8Array): void {
  const { width, height } = canvas.getBoundingClientRect();
  canvas.width = Math.round(width * devicePixelRatio);
  canvas.height = Math.round(height * devicePixelRatio);
  const context = canvas.getContext("2d")!;
  context.fillStyle = getComputedStyle(canvas).color;
  for (let x = 0; x < canvas.width; x++) {
    const from = Math.floor((x * levels.length) / canvas.width);
    const to = Math.max(from + 1, Math.floor(((x + 1) * levels.length) / canvas.width));
    const loudest = levels.subarray(from, to).reduce((most, level) => Math.max(most, level), 0);
    const high = Math.max(1, (loudest / 255) * canvas.height);
    context.fillRect(x, (canvas.height - high) / 2, 1, high);
  }
}
