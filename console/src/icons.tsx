const PATHS = {
  drop: "M12 3v11m0 0-4-4m4 4 4-4M4 17v2a2 2 0 0 0 2 2h12a2 2 0 0 0 2-2v-2",
  watch: "M12 7v5l3 2M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0Z",
  listen: "M4 14v4a2 2 0 0 0 2 2h1v-7H5a8 8 0 1 1 14 0h-2v7h1a2 2 0 0 0 2-2v-4",
  play: "M8 5v14l11-7Z",
  pause: "M8 5v14M16 5v14",
  level: "M4 10v4h3l5 4V6l-5 4H4Zm12-1a4 4 0 0 1 0 6m2-9a8 8 0 0 1 0 12",
  save: "M12 4v10m0 0-4-4m4 4 4-4M5 20h14",
  loop: "M17 3l3 3-3 3M4 11V9a3 3 0 0 1 3-3h13M7 21l-3-3 3-3m13-2v2a3 3 0 0 1-3 3H4",
};

/** A picture beside words that say the same. */
export function Icon({ name }: { name: keyof typeof PATHS }) {
  return (
    <svg class={`icon icon-${name}`} viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
