import { useEffect, useReducer, useRef } from "preact/hooks";

import * as api from "./api";
import type { Stem } from "./api";
import { clock } from "./format";
import { Icon } from "./icons";
import { Player, type Track } from "./player";
import { useSpeech } from "./texts";
import { useLevels, Waveform } from "./waveform";

const STEP_S = 5;
// The style sheet has so many colours of waveforms.
const COLOURS = 6;

declare global {
  interface Window {
    /** For tests, which measure how far the stems are apart. */
    uvrPlayer?: Player;
  }
}

/** Returns the player of these stems, and draws the caller again after each change. */
function usePlayer(id: string, stems: [string, Stem][]): Player | undefined {
  const [, draw] = useReducer((count: number) => count + 1, 0);
  const player = useRef<Player | undefined>(undefined);
  // Fresh links to the same stems must not begin the song anew.
  const identity = stems.map(([name, stem]) => name + stem.sha256).join();
  useEffect(() => {
    const made = new Player(stems.map(([name, stem]) => ({ name, ...stem, renew: () => freshLink(id, name) })), () =>
      draw(undefined),
    );
    player.current = window.uvrPlayer = made;
    draw(undefined);
    return () => made.close();
  }, [identity]);
  return player.current;
}

/** Returns a link to the stem that works; undefined where the song has no such stem any more. */
async function freshLink(id: string, stem: string): Promise<string | undefined> {
  try {
    return (await api.task(id)).result?.stems[stem]?.url;
  } catch (error) {
    if (error instanceof api.ProblemError && [401, 404].includes(error.status)) return undefined;
    throw error;
  }
}

/** Moves the cursors with each picture that the browser draws, without drawing the rows anew. */
function useCursor(player: Player | undefined) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!player) return;
    let frame = 0;
    let shown = "";
    const move = () => {
      // Only where people see a difference: each change has the browser compute the styles of all rows.
      const pixels = Math.max(1, (box.current?.clientWidth ?? 0) * devicePixelRatio);
      const played = (Math.round((player.position_s / player.duration_s) * pixels) / pixels).toFixed(5);
      if (played !== shown) box.current?.style.setProperty("--played", played);
      shown = played;
      if (player.isPlaying) frame = requestAnimationFrame(move);
    };
    move();
    return () => cancelAnimationFrame(frame);
  }, [player, player?.isPlaying, player?.isPlaying || player?.position_s]);
  return box;
}

export function PlayerView({ id, stems }: { id: string; stems: [string, Stem][] }) {
  const { t } = useSpeech();
  const player = usePlayer(id, stems);
  const levels = useLevels(id);
  const box = useCursor(player);
  if (!player) return null;

  const pressed = (event: KeyboardEvent) => {
    if (event.target !== event.currentTarget || event.ctrlKey || event.metaKey || event.altKey) return;
    const track = player.tracks[Number(event.key) - 1];
    if (event.key === " ") player.toggle();
    else if (event.key === "ArrowLeft") player.seek(player.position_s - STEP_S);
    else if (event.key === "ArrowRight") player.seek(player.position_s + STEP_S);
    else if (track) player.set(track, { isMuted: !track.isMuted });
    else return;
    event.preventDefault();
  };

  return (
    <div ref={box} class="player" tabIndex={0} role="group" aria-labelledby="listen" aria-describedby="keys" onKeyDown={pressed}>
      <Transport player={player} />
      <p class="waiting" role="status">{player.isLate && t("playWaits")}</p>
      <ul class="tracks">
        {player.tracks.map((track, place) => (
          <TrackRow key={track.name} player={player} track={track} place={place} levels={levels[track.name]} />
        ))}
      </ul>
      <p class="hint" id="keys">{t("playerKeys")}</p>
    </div>
  );
}

function Transport({ player }: { player: Player }) {
  const { t } = useSpeech();
  const [now, all] = [clock(player.position_s), clock(player.duration_s)];
  const { isOn, from_s, to_s } = player.loop;
  return (
    <div class="transport">
      <button
        class="main play"
        type="button"
        aria-label={t(player.isPlaying ? "pause" : "play")}
        onClick={() => player.toggle()}
      >
        <Icon name={player.isPlaying ? "pause" : "play"} />
      </button>
      <input
        class="position"
        type="range"
        min={0}
        max={player.duration_s}
        step={0.1}
        value={player.position_s}
        aria-label={t("position")}
        aria-valuetext={t("positionOf", { now, all })}
        onInput={(event) => player.seek(Number(event.currentTarget.value))}
      />
      <span class="clock" aria-hidden="true">{t("positionOf", { now, all })}</span>
      <div class="loop">
        <button type="button" aria-pressed={isOn} onClick={() => player.setLoop({ isOn: !isOn })}>
          <Icon name="loop" />
          {t("loop")}
        </button>
        <button type="button" onClick={() => player.setLoop({ isOn: true, from_s: player.position_s })}>
          {t("loopFrom")}
        </button>
        <button type="button" onClick={() => player.setLoop({ isOn: true, to_s: player.position_s })}>
          {t("loopTo")}
        </button>
        {isOn && <span class="when">{t("loopPart", { from: clock(from_s), to: clock(to_s) })}</span>}
      </div>
    </div>
  );
}

interface RowProps { player: Player; track: Track; place: number; levels?: Uint8Array }

function TrackRow({ player, track, place, levels }: RowProps) {
  const { t } = useSpeech();
  const stem = track.name;
  if (track.isBroken) return <li><p class="problem">{t("playFailed", { stem })}</p></li>;
  return (
    <li class={player.isHeard(track) ? undefined : "silent"}>
      <span class="name"><i class={`dot stem-${place % COLOURS}`} />{stem}</span>
      <button
        type="button"
        aria-pressed={track.isMuted}
        aria-label={t("muteStem", { stem })}
        onClick={() => player.set(track, { isMuted: !track.isMuted })}
      >
        {t("mute")}
      </button>
      <button
        type="button"
        aria-pressed={track.isSolo}
        aria-label={t("soloStem", { stem })}
        onClick={() => player.set(track, { isSolo: !track.isSolo })}
      >
        {t("solo")}
      </button>
      <span class="level">
        <Icon name="level" />
        <input
          type="range"
          min={0}
          max={1}
          step={0.01}
          value={track.level}
          aria-label={t("levelStem", { stem })}
          onInput={(event) => player.set(track, { level: Number(event.currentTarget.value) })}
        />
      </span>
      {levels && <Waveform player={player} levels={levels} place={place % COLOURS} />}
    </li>
  );
}
