import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import {
  afterTyping, BITRATES_KBPS, changedOutput, depthsOf, firstUnread, FORMATS, hasBitrate, LOUDNESSES, SAMPLE_RATES,
  secondsOf, timeOf, type Output, type Submission, type Time, type Unread,
} from "./choices";
import { takes } from "./described";
import { askUntilFound } from "./looking";
import { useSpeech, type Speech } from "./texts";

const PROBLEM = "no-time";

interface Props { chosen: Submission; change: (chosen: Submission) => void; stems: string[] }

interface FieldsProps extends Props { unread: Unread; changeUnread: (unread: Unread) => void }

/** All that a submission may choose beside its models. A field that is left alone is the operator's setting. */
export function MoreFields({ chosen, change, stems, unread, changeUnread }: FieldsProps) {
  const { t } = useSpeech();
  const [hasPriority, setHasPriority] = useState(false);
  useEffect(() => askUntilFound(() => takes("priority"), setHasPriority, () => false), []);
  return (
    <div class="more">
      {stems.length > 0 && <Stems chosen={chosen} change={change} stems={stems} />}
      <OutputFields output={chosen.output} change={(output) => change({ ...chosen, output })} />
      <Part chosen={chosen} change={change} unread={unread} changeUnread={changeUnread} />
      <fieldset>
        <legend>{t("others")}</legend>
        <label class="wide">
          {t("label")}
          <input
            maxLength={200}
            value={chosen.label ?? ""}
            onInput={(event) => change({ ...chosen, label: event.currentTarget.value || undefined })}
          />
        </label>
        <label class="wide">
          {t("hookUrl")}
          <input
            type="url"
            placeholder="https://…"
            value={chosen.hook_url ?? ""}
            onInput={(event) => change({ ...chosen, hook_url: event.currentTarget.value || undefined })}
          />
        </label>
        {hasPriority && (
          <Choice
            label={t("priority")}
            value={chosen.priority}
            choose={(value) => change({ ...chosen, priority: value ? Number(value) : undefined })}
            options={[5, 4, 3, 2, 1].map((level) => [level, t(`priority_${level as 1 | 2 | 3 | 4 | 5}`)])}
          />
        )}
        <label class="check">
          <input
            type="checkbox"
            checked={chosen.cache === "refresh"}
            onChange={(event) => change({ ...chosen, cache: event.currentTarget.checked ? "refresh" : undefined })}
          />
          {t("anew")}
        </label>
      </fieldset>
    </div>
  );
}

function Stems({ chosen, change, stems }: Props) {
  const { t } = useSpeech();
  const wanted = chosen.stems ?? stems;
  const toggle = (stem: string, isWanted: boolean) => {
    const now = stems.filter((name) => (name === stem ? isWanted : wanted.includes(name)));
    // All of them is what one gets without a word, and none at all is no song.
    if (now.length) change({ ...chosen, stems: now.length === stems.length ? undefined : now });
  };
  return (
    <fieldset>
      <legend>{t("stems")}</legend>
      {stems.map((stem) => (
        <label class="check" key={stem}>
          <input
            type="checkbox"
            checked={wanted.includes(stem)}
            disabled={wanted.length === 1 && wanted[0] === stem}
            onChange={(event) => toggle(stem, event.currentTarget.checked)}
          />
          {stem}
        </label>
      ))}
    </fieldset>
  );
}

function OutputFields({ output, change }: { output?: Output; change: (output?: Output) => void }) {
  const { t } = useSpeech();
  const set = (changed: Output) => change(changedOutput(output, changed));
  const number = (value: string) => (value ? Number(value) : undefined);
  return (
    <fieldset>
      <legend>{t("output")}</legend>
      <Choice
        label={t("format")}
        value={output?.format}
        choose={(value) => set({ format: value || undefined })}
        options={FORMATS.map((format) => [format, format])}
      />
      {depthsOf(output?.format).length > 0 && (
        <Choice
          label={t("bitDepth")}
          value={output?.bit_depth}
          choose={(value) => set({ bit_depth: number(value) })}
          options={depthsOf(output?.format).map((depth) => [depth, t(depth === 32 ? "float32" : "bits", { depth })])}
        />
      )}
      {hasBitrate(output?.format) && (
        <Choice
          label={t("bitrate")}
          value={output?.bitrate_kbps}
          choose={(value) => set({ bitrate_kbps: number(value) })}
          options={BITRATES_KBPS.map((rate) => [rate, `${rate} kbit/s`])}
        />
      )}
      <Choice
        label={t("sampleRate")}
        value={output?.sample_rate}
        choose={(value) => set({ sample_rate: value === "source" ? value : number(value) })}
        options={SAMPLE_RATES.map((rate) => [rate, rate === "source" ? t("ownRate") : `${rate} Hz`])}
      />
      <Choice
        label={t("normalize")}
        value={output?.normalize}
        choose={(value) => set({ normalize: value || undefined })}
        options={LOUDNESSES.map((way) => [way, loudness(way, t)])}
      />
      <label class="check">
        <input
          type="checkbox"
          checked={output?.tags === "keep"}
          onChange={(event) => set({ tags: event.currentTarget.checked ? "keep" : undefined })}
        />
        {t("keepTags")}
      </label>
    </fieldset>
  );
}

function loudness(way: string, t: Speech["t"]): string {
  return way === "peak" ? t("toPeak") : t("toLoudness", { level: way.replace("lufs:-", "−") });
}

interface ChoiceProps {
  label: string;
  value?: string | number;
  choose: (value: string) => void;
  options: [value: string | number, name: ComponentChildren][];
}

function Choice({ label, value, choose, options }: ChoiceProps) {
  const { t } = useSpeech();
  const isOther = value !== undefined && !options.some(([known]) => known === value);
  return (
    <label>
      {label}
      <select value={value ?? ""} onChange={(event) => choose(event.currentTarget.value)}>
        <option value="">{t("formatDefault")}</option>
        {isOther && <option value={value}>{value}</option>}
        {options.map(([known, name]) => <option key={known} value={known}>{name}</option>)}
      </select>
    </label>
  );
}

type PartProps = Omit<FieldsProps, "stems">;

/** The part of the song that is separated. */
function Part({ chosen, change, unread, changeUnread }: PartProps) {
  const { t } = useSpeech();
  const wrong = firstUnread(unread);
  const isRefused = wrong !== undefined && unread.refusals > 0;
  const field = (name: Time, label: string) => (
    <Seconds
      label={label}
      value={chosen[name]}
      unread={unread.texts[name]}
      problem={isRefused ? PROBLEM : undefined}
      asked={name === unread.asked ? unread.refusals : 0}
      type={(text) => {
        change({ ...chosen, [name]: secondsOf(text) });
        changeUnread(afterTyping(unread, name, text));
      }}
    />
  );
  return (
    <fieldset>
      <legend>{t("part")}</legend>
      {field("start_s", t("startAt"))}
      {field("duration_s", t("partLength"))}
      {isRefused && <p class="problem" role="alert" id={PROBLEM}>{t("noTime", { text: unread.texts[wrong]! })}</p>}
      <p class="hint">{t("partHint")}</p>
    </fieldset>
  );
}

interface SecondsProps {
  label: string;
  value?: number;
  /** The field's text, where it cannot be read. */
  unread?: string;
  /** The element that says what is wrong. */
  problem?: string;
  /** How often the user was asked to mend it. */
  asked: number;
  type: (text: string) => void;
}

function Seconds({ label, value, unread, problem, asked, type }: SecondsProps) {
  const { t } = useSpeech();
  const [typed, setTyped] = useState("");
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (asked) field.current!.focus();
  }, [asked]);
  const own = value === undefined ? "" : timeOf(value);
  const isWrong = unread !== undefined;
  return (
    <label>
      {label}
      <input
        ref={field}
        inputMode="numeric"
        placeholder="0:00"
        size={8}
        // As it was typed, unless the form has got another value since.
        value={unread ?? (value !== undefined && secondsOf(typed) === value ? typed : own)}
        aria-invalid={isWrong}
        aria-describedby={isWrong ? problem : undefined}
        title={isWrong ? t("partHint") : undefined}
        onInput={(event) => {
          setTyped(event.currentTarget.value);
          type(event.currentTarget.value);
        }}
      />
    </label>
  );
}
