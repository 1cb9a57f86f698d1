import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

import { EarlierSong, useEarlier } from "./again";
import * as api from "./api";
import { ChoiceFields } from "./choice_fields";
import { afterRefusal, ALL_READ, firstUnread, type Submission } from "./choices";
import { checkReadable } from "./dropped";
import { useDropping } from "./dropping";
import { Icon } from "./icons";
import { SendingRow, useSending } from "./sending";
import { useSpeech } from "./texts";

interface Props {
  user: string;
  submitted: () => void;
  stopped: (names: string[]) => void;
  earlier?: string;
  demo?: api.Demo | null;
  demos: number;
}

/** `earlier` is the task to begin from. `demo` is sent each time that `demos` rises. */
export function Submit({ user, submitted, stopped, earlier: id, demo, demos }: Props) {
  const { t } = useSpeech();
  const [chosen, setChosen] = useState<Submission>({});
  const [address, setAddress] = useState("");
  const [unread, setUnread] = useState(ALL_READ);
  const { sending, said, submit, again, dismiss } = useSending(user, submitted, stopped);
  const { earlier, problem } = useEarlier(id);
  const isAwaited = id !== undefined && !earlier;
  const heading = useRef<HTMLHeadingElement>(null);

  useEffect(() => {
    if (id) heading.current?.focus();
  }, [id]);
  // An effect of the layout: until any other runs, the form would have the ordinary choices.
  useLayoutEffect(() => {
    if (!earlier) return;
    setChosen(earlier.submission);
    setAddress(earlier.link ?? "");
    setUnread(ALL_READ);
    // What the form had before, for the next song: nothing of the earlier one may be in it unseen.
    return () => {
      setChosen(chosen);
      setAddress(address);
      setUnread({ ...unread, refusals: 0 }); // asks for no field again
    };
  }, [earlier]);

  const leave = () => {
    if (id) location.hash = "#/";
    // A name belongs to one song; the other choices may serve for the next.
    else setChosen(({ label, ...others }) => others);
  };
  /** Whether nothing can be sent, because what the form says is not understood. The user is told. */
  const isRefused = () => {
    if (!firstUnread(unread)) return false;
    setUnread(afterRefusal(unread));
    return true;
  };
  const submitFiles = (files: FileList) => {
    if (!files.length || isRefused()) return;
    for (const file of files)
      submit(file.name, file.size, async (key, progress, stop) => {
        await checkReadable(file);
        return api.submitFile(file, chosen, key, progress, stop);
      });
    leave();
  };
  const submitAddress = (name: string, audio: string) => {
    if (isRefused()) return false;
    submit(name, 0, (key, _progress, stop) => api.submitLink(audio, chosen, key, stop));
    leave();
    return true;
  };
  const takeAddress = (dropped: string) => {
    setAddress(dropped);
    document.getElementById("link")?.focus();
  };
  const takesSongs = !isAwaited && !earlier?.upload;
  const { isOver, events } = useDropping(isAwaited ? undefined : submitFiles, takesSongs ? takeAddress : undefined);
  useEffect(() => {
    if (!demo || !demos) return;
    const name = demo.label || demo.url;
    // A second click comes before the list shows the song.
    if (sending.some((one) => one.name === name && !one.problem)) return;
    submit(name, 0, (key, _progress, stop) => api.submitLink(demo.url, { label: demo.label || undefined }, key, stop));
  }, [demos]);

  return (
    <section class={isOver ? "card submit over" : "card submit"} aria-labelledby="new-song" {...events}>
      <h1 id="new-song" ref={heading} tabIndex={-1}>
        {earlier ? t("againOf", { name: earlier.name }) : t(id ? "again" : "newSong")}
      </h1>
      {id !== undefined && (
        <EarlierSong earlier={earlier} problem={problem} submit={(audio, name) => submitAddress(name, audio)} />
      )}
      {takesSongs && (
        <>
          <Chooser choose={submitFiles} />
          <Link
            address={address}
            change={setAddress}
            submit={(given) => {
              if (submitAddress(given, given)) setAddress("");
            }}
          />
        </>
      )}
      {/* It stays, so that it is as open as its user has left it. */}
      <div hidden={isAwaited}>
        <ChoiceFields chosen={chosen} change={setChosen} unread={unread} changeUnread={setUnread} />
      </div>
      <ul class="sending">
        {sending.map((one) => <SendingRow key={one.key} one={one} again={again} dismiss={dismiss} />)}
      </ul>
      <p class="said" role="status">{said}</p>
    </section>
  );
}

function Chooser({ choose }: { choose: (files: FileList) => void }) {
  const { t } = useSpeech();
  return (
    <div class="drop">
      <Icon name="drop" />
      <span aria-hidden="true">{t("drop")}</span>
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

interface LinkProps { address: string; change: (address: string) => void; submit: (address: string) => void }

function Link({ address, change, submit }: LinkProps) {
  const { t } = useSpeech();
  return (
    <form
      class="link"
      onSubmit={(event) => {
        event.preventDefault();
        submit(address.trim());
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
        onInput={(event) => change(event.currentTarget.value)}
      />
      <button type="submit">{t("submitLink")}</button>
    </form>
  );
}
