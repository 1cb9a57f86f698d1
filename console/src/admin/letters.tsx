import { useRef, useState } from "preact/hooks";

import { moment } from "../format";
import { useSpeech } from "../texts";
import { Empty, Heading, Instead } from "./admin";
import * as api from "./api";
import { useLetters } from "./letter_list";
import { ReplayNews, useReplay } from "./replaying";

const isReplayable = (letter: api.Summary) => letter.replayed_as === undefined && letter.kind !== "undecodable";

/** The letters that were given up: look at them, choose some, replay them. */
export function LettersPage() {
  const { t } = useSpeech();
  const [withReplayed, setWithReplayed] = useState(false);
  const [code, setCode] = useState("");
  const [round, setRound] = useState(0);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const codes = useRef(new Set<string>());
  const { loaded, problem, older, olderProblem } = useLetters(withReplayed, code, round);
  const { replay, ...news } = useReplay();

  const list = loaded?.rows ?? [];
  list.forEach((letter) => letter.error_code && codes.current.add(letter.error_code));
  const selected = list.filter((letter) => chosen.has(letter.id) && isReplayable(letter));

  const again = () => setRound((count) => count + 1);
  const send = async (ids: string[]) => {
    await replay(ids);
    setChosen(new Set());
    again();
  };
  const choose = (ids: string[], isChosen: boolean) =>
    setChosen((before) => {
      const after = new Set(before);
      ids.forEach((id) => (isChosen ? after.add(id) : after.delete(id)));
      return after;
    });

  return (
    <article>
      <Heading>{t("deadLetters")}</Heading>
      <p class="hint">{t("lettersHint")}</p>
      <div class="filters">
        <label>
          {t("onlyCode")}
          <select value={code} onChange={(event) => setCode(event.currentTarget.value)}>
            <option value="">{t("anyCode")}</option>
            {[...codes.current].sort().map((one) => <option key={one} value={one}>{one}</option>)}
          </select>
        </label>
        <label class="check">
          <input
            type="checkbox"
            checked={withReplayed}
            onChange={(event) => setWithReplayed(event.currentTarget.checked)}
          />
          {t("withReplayed")}
        </label>
        <button type="button" onClick={again}>{t("refresh")}</button>
      </div>
      <ReplayNews {...news} />
      <Instead isThere={loaded !== undefined} problem={problem || olderProblem} />
      {loaded && list.length === 0 && !loaded.next && <Empty title={t("noLetters")} hint={t("noLettersHint")} />}
      {list.length > 0 && (
        <Toolbar list={list} selected={selected} choose={choose} replay={send} isBusy={news.progress !== undefined} />
      )}
      <ul class="letters">
        {list.map((letter) => (
          <Letter key={letter.id} letter={letter} isChosen={chosen.has(letter.id)} choose={choose} />
        ))}
      </ul>
      {loaded?.next && <button class="older" type="button" onClick={older}>{t("olderLetters")}</button>}
    </article>
  );
}

interface ToolbarProps {
  list: api.Summary[];
  selected: api.Summary[];
  choose: (ids: string[], isChosen: boolean) => void;
  replay: (ids: string[]) => void;
  isBusy: boolean;
}

function Toolbar({ list, selected, choose, replay, isBusy }: ToolbarProps) {
  const { t } = useSpeech();
  const dialog = useRef<HTMLDialogElement>(null);
  const open = list.filter(isReplayable).map((letter) => letter.id);
  const count = selected.length;
  const isAll = count > 0 && count === open.length;
  const ids = selected.map((letter) => letter.id);
  const confirmed = () => {
    dialog.current!.close();
    replay(ids);
  };
  return (
    <div class="toolbar">
      <label class="check">
        <input
          type="checkbox"
          checked={isAll}
          indeterminate={count > 0 && !isAll}
          disabled={open.length === 0}
          onChange={(event) => choose(open, event.currentTarget.checked)}
        />
        {t("selectAll")}
      </label>
      <button
        class="main"
        type="button"
        disabled={count === 0 || isBusy}
        onClick={() => (count === 1 ? replay(ids) : dialog.current!.showModal())}
      >
        {count === 0 ? t("replayNone") : t("replaySelected", { count })}
      </button>
      <dialog ref={dialog} aria-labelledby="ask-replay" aria-describedby="ask-replay-hint">
        <p id="ask-replay" class="headline">{t("replayAsk", { count })}</p>
        <p id="ask-replay-hint" class="hint">{t("replayAskHint")}</p>
        <div class="actions">
          <button type="button" onClick={() => dialog.current!.close()}>{t("cancel")}</button>
          <button class="main" type="button" onClick={confirmed}>{t("replaySelected", { count })}</button>
        </div>
      </dialog>
    </div>
  );
}

interface LetterProps {
  letter: api.Summary;
  isChosen: boolean;
  choose: (ids: string[], isChosen: boolean) => void;
}

function Letter({ letter, isChosen, choose }: LetterProps) {
  const { t, language } = useSpeech();
  const isReplayed = letter.replayed_as !== undefined;
  const canReplay = isReplayable(letter);
  return (
    <li class={isReplayed ? "over" : ""}>
      <input
        type="checkbox"
        aria-label={t("selectOne", { id: letter.id })}
        checked={isChosen && canReplay}
        disabled={!canReplay}
        onChange={(event) => choose([letter.id], event.currentTarget.checked)}
      />
      <div>
        <div class="what">
          <a href={`#/admin/dead-letters/${letter.id}`} aria-label={t("look", { id: letter.id })}>{letter.id}</a>
          <span class="chip">{t(`kind_${letter.kind}`)}</span>
          <code class="code">{letter.error_code || "–"}</code>
          {isReplayed && <span class="chip done">{t("replayedTag", { run: letter.replayed_as! })}</span>}
        </div>
        <p class="reason">
          {letter.name && <strong>{letter.name.split("/").pop()}: </strong>}
          {letter.reason}
        </p>
        <p class="when">
          {letter.user && `${letter.user} · `}
          {moment(letter.written_at, language)}
          {` · ${t("tries")}: ${letter.tries}`}
          {letter.task_uuid && (
            <> · <a href={`#/tasks/${letter.task_uuid}`} aria-label={`${t("showTask")}: ${letter.id}`}>{t("showTask")}</a></>
          )}
        </p>
      </div>
    </li>
  );
}
