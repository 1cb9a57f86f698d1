import { useEffect, useRef, useState } from "preact/hooks";

import * as api from "./api";
import { askUntilFound } from "./looking";
import type { Player } from "./player";

/** The loudness of each stem over time: a byte for each span, 255 for the loudest of all. */
export type Levels = Record<string, Uint8Array>;

/** Returns the levels of the task's stems; none until they have come, and for stems that have none. */
export function useLevels(id: string): Levels {
  const [levels, setLevels] = useState<Levels>({});
  useEffect(() => {
    // Stems of an earlier version have no peaks, and are heard all the same.
    return askUntilFound(async () => finest(await api.peaks(id)), setLevels, (error) => !api.isAway(error));
  }, [id]);
  return levels;
}

/** Returns the finer resolution, raised so that the loudest stem fills the height. */
function finest(peaks: api.Peaks): Levels {
  const stems = Object.entries(peaks.resolutions[0]?.stems ?? {}).map(([name, text]) => {
    return [name, Uint8Array.from(atob(text), (char) => char.charCodeAt(0))] as const;
  });
  const most = Math.max(1, ...stems.map(([, levels]) => levels.reduce((a, b) => Math.max(a, b), 0)));
  return Object.fromEntries(stems.map(([name, levels]) => [name, levels.map((level) => (level * 255) / most)]));
}

// A bar and the gap behind it, in CSS pixels.
const BAR_PX = 3;
const GAP_PX = 1;

interface Props { player: Player; levels: Uint8Array; place: number }

/** Draws a stem. A click moves all stems there; the slider above does the same for the keyboard. */
export function Waveform({ player, levels, place }: Props) {
  const [coming, played] = [useRef<HTMLCanvasElement>(null), useRef<HTMLCanvasElement>(null)];
  useEffect(() => {
    const redraw = () => {
      for (const { current } of [coming, played]) if (current) draw(current, levels);
    };
    const watch = new ResizeObserver(redraw);
    watch.observe(coming.current!);
    const theme = matchMedia("(prefers-color-scheme: dark)");
    theme.addEventListener("change", redraw);
    return () => {
      watch.disconnect();
      theme.removeEventListener("change", redraw);
    };
  }, [levels]);

  const clicked = (event: MouseEvent) => {
    const { left, width } = coming.current!.getBoundingClientRect();
    player.seek(((event.clientX - left) / width) * player.duration_s);
  };

  return (
    <div class={`waveform stem-${place}`} aria-hidden="true" onClick={clicked}>
      <canvas ref={coming} class="coming" />
      <canvas ref={played} class="played" />
      <span class="cursor" />
    </div>
  );
}

function draw(canvas: HTMLCanvasElement, levels: Uint8Array): void {
  const { width, height } = canvas.getBoundingClientRect();
  canvas.width = Math.round(width * devicePixelRatio);
  canvas.height = Math.round(height * devicePixelRatio);
  const context = canvas.getContext("2d")!;
  context.scale(devicePixelRatio, devicePixelRatio);
  context.fillStyle = getComputedStyle(canvas).color;
  context.beginPath();
  for (let x = 0; x < width; x += BAR_PX + GAP_PX) {
    const high = Math.max(2, loudest(levels, x / width, (x + BAR_PX + GAP_PX) / width) * height);
    context.roundRect(x, (height - high) / 2, BAR_PX, high, BAR_PX / 2);
  }
  context.fill();
}

/** Returns the largest level between two parts of the song, all from 0 to 1. */
function loudest(levels: Uint8Array, from: number, to: number): number {
  const first = Math.floor(from * levels.length);
  const end = Math.max(first + 1, Math.floor(to * levels.length));
  return levels.subarray(first, end).reduce((most, level) => Math.max(most, level), 0) / 255;
}
