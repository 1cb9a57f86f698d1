import { useEffect, useState } from "preact/hooks";

import * as api from "./api";
import type { Submission, Unread } from "./choices";
import { duration } from "./format";
import { keepLooking } from "./looking";
import { MoreFields } from "./more_fields";
import { useSpeech } from "./texts";

const SONG_S = 240;
// Processors announce themselves some time after their start, and others may join them later.
const NONE_MS = 5000;
const SOME_MS = 60_000;

interface Offers { presets: api.Preset[]; models: api.Model[] }

interface Props {
  chosen: Submission;
  change: (chosen: Submission) => void;
  unread: Unread;
  changeUnread: (unread: Unread) => void;
}

/** What separates the song, with its cost here, and all other choices behind one click. */
export function ChoiceFields({ chosen, change, unread, changeUnread }: Props) {
  const { t, language } = useSpeech();
  const [{ presets, models }, setOffers] = useState<Offers>({ presets: [], models: [] });
  const [isOpen, setIsOpen] = useState(false);
  useEffect(() => {
    const look = async (isOver: () => boolean) => {
      try {
        const [presets, models] = await Promise.all([api.presets(), api.models()]);
        if (!isOver()) setOffers({ presets, models });
        return presets.length + models.length ? SOME_MS : NONE_MS;
      } catch {
        // Without offers there is the default, which needs none.
        return NONE_MS;
      }
    };
    return keepLooking(look, NONE_MS);
  }, []);

  // What cannot be read must be seen.
  useEffect(() => {
    if (unread.refusals) setIsOpen(true);
  }, [unread.refusals]);

  const cost = (speed?: number) => (speed ? duration(SONG_S / speed, language) : "");
  const named = (name: string, speed?: number) => (speed ? t("costOf", { name, time: cost(speed) }) : name);
  const standard = models.find((model) => model.is_default);
  const preset = presets.find(({ name }) => name === chosen.preset);
  const model = chosen.preset ? undefined : models.find(({ name }) => name === chosen.model) ?? standard;
  const used = preset ?? (chosen.models ? undefined : model);
  const choose = (value: string) => {
    const [kind, ...rest] = value.split(":");
    const name = rest.join(":");
    const { preset, model, models, ensemble, weights, stems, ...others } = chosen;
    change({ ...others, ...(name && { [kind!]: name }) });
  };
  const value = chosen.preset ? `preset:${chosen.preset}` : chosen.model ? `model:${chosen.model}` : "";
  const isMissing = value !== "" && !preset && !models.some(({ name }) => name === chosen.model);
  return (
    <div class="choices">
      <label class="preset">
        {t("preset")}
        <select value={chosen.models ? "ensemble" : value} onChange={(event) => choose(event.currentTarget.value)}>
          {chosen.models && <option value="ensemble">{chosen.models.join(" + ")}</option>}
          {isMissing && <option value={value}>{chosen.preset ?? chosen.model}</option>}
          <option value="">{named(t("presetDefault"), standard?.speed)}</option>
          {presets.length > 0 && (
            <optgroup label={t("presets")}>
              {presets.map(({ name, speed }) => <option key={name} value={`preset:${name}`}>{named(name, speed)}</option>)}
            </optgroup>
          )}
          {models.length > 1 && (
            <optgroup label={t("models")}>
              {models.map(({ name, speed }) => <option key={name} value={`model:${name}`}>{named(name, speed)}</option>)}
            </optgroup>
          )}
        </select>
      </label>
      <p class="hint">
        {preset && `${preset.description}. `}
        {used && `${t("givesStems", { stems: used.stems.join(", ") })} `}
        {used?.speed && t("presetCost", { time: cost(used.speed) })}
      </p>
      <details open={isOpen} onToggle={(event) => setIsOpen(event.currentTarget.open)}>
        <summary>{t("more")}</summary>
        {isOpen && (
          <MoreFields
            chosen={chosen}
            change={change}
            stems={used?.stems ?? chosen.stems ?? []}
            unread={unread}
            changeUnread={changeUnread}
          />
        )}
      </details>
    </div>
  );
}
