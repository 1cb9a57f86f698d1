import { useEffect, useRef, useState } from "preact/hooks";

import * as api from "./api";
import { duration } from "./format";
import { useSpeech } from "./texts";
import { wordsOf } from "./words";

const FORMATS = ["wav", "flac", "mp3", "m4a", "ogg"];
const SONG_S = 240;

/** A song on its way to the API. It leaves the list once it is queued. */
interface Sending { key: string; name: string; part: number; problem: string; stop: AbortController }

export function Submit({ submitted }: { submitted: () => void }) {
  const { t } = useSpeech();
  const [choices, setChoices] = useState<api.Choices>({});
  const [sending, setSending] = useState<Sending[]>([]);
  const [said, setSaid] = useState("");
  const [isOver, setIsOver] = useState(false);
  const turn = useRef<Promise<void>>(Promise.resolve());

  const change = (key: string, changed: Partial<Sending>) =>
    setSending((all) => all.map((one) => (one.key === key ? { ...one, ...changed } : one)));
  const dismiss = (key: string) => setSending((all) => all.filter((one) => one.key !== key));

  const submit = (name: string, send: (one: Sending, progress: (part: number) => void) => Promise<string>) => {
    const one: Sending = { key: api.newKey(), name, part: 0, problem: "", stop: new AbortController() };
    setSending((all) => [...all, one]);
    // One at a time: several at once would take as long, and all of them would be late.
    turn.current = turn.current.then(async () => {
      try {
        one.stop.signal.throwIfAborted();
        await send(one, (part) => change(one.key, { part }));
        setSaid(t("queued", { name }));
        dismiss(one.key);
        submitted();
      } catch (error) {
        const isStopped = one.stop.signal.aborted;
        change(one.key, { problem: isStopped ? t("stopped", { name }) : `${name}: ${wordsOf(error, t)}` });
      }
    });
  };
  const submitFiles = (files: Iterable<File>) => {
    for (const file of files)
      submit(file.name, (one, progress) => api.submitFile(file, choices, one.key, progress, one.stop.signal));
  };
  const submitLink = (address: string) =>
    submit(address, (one) => api.submitLink(address, choices, one.key));

  return (
    <section
      class={isOver ? "card submit over" : "card submit"}
      aria-labelledby="new-song"
      onDragOver={(event) => {
        event.preventDefault();
        setIsOver(true);
      }}
      onDragLeave={() => setIsOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setIsOver(false);
        submitFiles(event.dataTransfer?.files ?? []);
      }}
    >
      <h1 id="new-song">{t("newSong")}</h1>
      <Chooser choose={submitFiles} />
      <Link submit={submitLink} />
      <ChoiceFields choices={choices} change={setChoices} />
      <ul class="sending">
        {sending.map((one) => <Row key={one.key} one={one} dismiss={dismiss} />)}
      </ul>
      <p class="said" role="status">{said}</p>
    </section>
  );
}

function Chooser({ choose }: { choose: (files: FileList) => void }) {
  const { t } = useSpeech();
  return (
    <div class="drop">
      <span class="hint" aria-hidden="true">{t("drop")}</span>
      <label class="button main">
        {t("choose")}
        <input
          class="unseen"
          type="file"
          multiple
          accept="audio/*,video/*"
          onChange={(event) => {
            if (event.currentTarget.files) choose(event.currentTarget.files);
            event.currentTarget.value = "";
          }}
        />
      </label>
    </div>
  );
}

function Link({ submit }: { submit: (address: string) => void }) {
  const { t } = useSpeech();
  const [address, setAddress] = useState("");
  return (
    <form
      class="link"
      onSubmit={(event) => {
        event.preventDefault();
        submit(address.trim());
        setAddress("");
      }}
    >
      <label for="link">{t("orLink")}</label>
      <input
        id="link"
        type="url"
        required
        placeholder="https://…"
        aria-label={t("link")}
        value={address}
        onInput={(event) => setAddress(event.currentTarget.value)}
      />
      <button type="submit">{t("submitLink")}</button>
    </form>
  );
}

function ChoiceFields({ choices, change }: { choices: api.Choices; change: (choices: api.Choices) => void }) {
  const { t, language } = useSpeech();
  const [presets, setPresets] = useState<api.Preset[]>([]);
  useEffect(() => {
    // Without presets there is the default, which needs none.
    api.presets().then(setPresets, () => setPresets([]));
  }, []);
  const chosen = presets.find((preset) => preset.name === choices.preset);
  return (
    <div class="choices">
      <label>
        {t("preset")}
        <select
          value={choices.preset ?? ""}
          onChange={(event) => change({ ...choices, preset: event.currentTarget.value || undefined })}
        >
          <option value="">{t("presetDefault")}</option>
          {presets.map(({ name }) => <option key={name} value={name}>{name}</option>)}
        </select>
      </label>
      {chosen && (
        <p class="hint">
          {chosen.description}
          {chosen.speed ? ` ${t("presetCost", { time: duration(SONG_S / chosen.speed, language) })}` : ""}
        </p>
      )}
      <details>
        <summary>{t("more")}</summary>
        <label>
          {t("format")}
          <select
            value={choices.format ?? ""}
            onChange={(event) => change({ ...choices, format: event.currentTarget.value || undefined })}
          >
            <option value="">{t("formatDefault")}</option>
            {FORMATS.map((format) => <option key={format} value={format}>{format}</option>)}
          </select>
        </label>
      </details>
    </div>
  );
}

function Row({ one, dismiss }: { one: Sending; dismiss: (key: string) => void }) {
  const { t } = useSpeech();
  if (one.problem)
    return (
      <li>
        <p class="problem" role="alert">{one.problem}</p>
        <button type="button" onClick={() => dismiss(one.key)}>{t("dismiss")}</button>
      </li>
    );
  const name = t("sending", { name: one.name });
  return (
    <li>
      <span class="name">{name}</span>
      <progress aria-label={name} max={1} value={one.part} />
      <button type="button" onClick={() => one.stop.abort()}>{t("stop")}</button>
    </li>
  );
}
