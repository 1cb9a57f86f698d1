import { useState } from "preact/hooks";

import { ProblemError } from "../api";
import { moment } from "../format";
import { useSpeech } from "../texts";
import { Heading, Instead } from "./admin";
import * as api from "./api";
import { number } from "./format";
import { ReplayNews, useReplay } from "./replaying";
import { useWatched } from "./watch";

const EVERY_MS = 60000;

/** Everything about one dead letter, at `#/admin/dead-letters/PARTITION/OFFSET`. */
export function LetterView({ id }: { id: string }) {
  const { t } = useSpeech();
  const [round, setRound] = useState(0);
  // null: there is no such letter.
  const ask = () =>
    api.letter(id).catch((error) => {
      if (error instanceof ProblemError && error.status === 404) return null;
      throw error;
    });
  const { found, problem } = useWatched(ask, EVERY_MS, round);
  const { replay, ...news } = useReplay();
  const isReplayed = found?.replayed_as !== undefined;
  const send = async () => {
    await replay([id], isReplayed);
    setRound((count) => count + 1);
  };
  return (
    <article>
      <p><a href="#/admin/dead-letters">← {t("backToLetters")}</a></p>
      <Heading>{t("letter", { id })}</Heading>
      <Instead isThere={found !== undefined} problem={problem} />
      {found === null && <p class="problem" role="alert">{t("noSuchLetter")}</p>}
      {found && (
        <>
          <div class="actions">
            {found.message !== undefined && (
              <button class={isReplayed ? "" : "main"} type="button" disabled={news.progress !== undefined} onClick={send}>
                {t(isReplayed ? "replayAgain" : "replayOne")}
              </button>
            )}
          </div>
          <ReplayNews {...news} />
          <Facts letter={found} />
          <Content letter={found} />
        </>
      )}
    </article>
  );
}

function Facts({ letter }: { letter: api.Letter }) {
  const { t, language } = useSpeech();
  return (
    <dl class="card">
      <dt>{t("written")}</dt><dd>{moment(letter.written_at, language)}</dd>
      <dt>{t("kind")}</dt><dd>{t(`kind_${letter.kind}`)}</dd>
      {letter.task_uuid && (
        <><dt>{t("task")}</dt><dd><a href={`#/tasks/${letter.task_uuid}`}>{letter.task_uuid}</a></dd></>
      )}
      {letter.name && <><dt>{t("source")}</dt><dd>{letter.name}</dd></>}
      {letter.user && <><dt>{t("user")}</dt><dd>{letter.user}</dd></>}
      {letter.run !== undefined && <><dt>{t("run")}</dt><dd>{letter.run}</dd></>}
      <dt>{t("errorCode")}</dt><dd><code>{letter.error_code || "–"}</code></dd>
      <dt>{t("reason")}</dt><dd>{letter.reason}</dd>
      <dt>{t("tries")}</dt><dd>{letter.tries}</dd>
      {letter.first_error && letter.first_error !== letter.last_error && <><dt>{t("firstError")}</dt><dd>{letter.first_error}</dd></>}
      {letter.last_error && <><dt>{t("lastError")}</dt><dd>{letter.last_error}</dd></>}
      <dt>{t("origin")}</dt><dd><code>{letter.origin}</code></dd>
      <dt>{t("replayedState")}</dt>
      <dd>{letter.replayed_as === undefined ? t("notReplayed") : t("asRun", { run: letter.replayed_as })}</dd>
    </dl>
  );
}

function Content({ letter }: { letter: api.Letter }) {
  const { t, language } = useSpeech();
  const isMessage = letter.message !== undefined;
  return (
    <>
      <h2 id="content">{isMessage ? t("message") : t("bytesOf", { count: number(letter.size_bytes, language) })}</h2>
      <pre class="card" tabIndex={0} role="group" aria-labelledby="content">
        {isMessage ? JSON.stringify(letter.message, null, 2) : letter.excerpt}
      </pre>
      <details>
        <summary>{t("headers")}</summary>
        <dl>
          {letter.headers.map((header, place) => (
            <div key={place} class="header"><dt>{header.name}</dt><dd><code>{header.value}</code></dd></div>
          ))}
        </dl>
      </details>
    </>
  );
}
