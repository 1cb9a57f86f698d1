import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

import { AdminPage, isAdminPlace } from "./admin/admin";
import * as api from "./api";
import { KeptPlace } from "./kept_place";
import { SignIn } from "./sign_in";
import { Songs } from "./songs";
import { Submit } from "./submit";
import { TaskPage } from "./task";
import { UnsentNotice, type Unsent } from "./unsent";
import { Welcome } from "./welcome";
import { wordsOf } from "./words";
import { firstLanguage, LANGUAGES, LanguageContext, remember, useSpeech, type Language } from "./texts";

const TASK = /^#\/tasks\/([0-9a-f-]{36})$/;
const AGAIN = /^#\/again\/([0-9a-f-]{36})$/;
const RETRY_MS = 3000;
const NOBODY: api.Session = { user: null, is_admin: false };

/** Returns the part of the address behind `#`: the place within the page. */
function usePlace(): string {
  const [place, setPlace] = useState(location.hash);
  // An effect of the layout: any other begins some time after the page is seen, and a link that is followed meanwhile
  // would be lost.
  useLayoutEffect(() => {
    const moved = () => setPlace(location.hash);
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return place;
}

export function App() {
  const [language, setLanguage] = useState<Language>(firstLanguage);
  useLayoutEffect(() => {
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  }, [language]);
  const choose = (chosen: Language) => {
    remember(chosen);
    setLanguage(chosen);
  };
  return (
    <LanguageContext.Provider value={language}>
      <Console choose={choose} />
    </LanguageContext.Provider>
  );
}

function Console({ choose }: { choose: (language: Language) => void }) {
  const { t } = useSpeech();
  const [session, setSession] = useState<api.Session>();
  const [wasSignedOut, setWasSignedOut] = useState(false);
  const [isAway, setIsAway] = useState(false);
  const [problem, setProblem] = useState("");
  const [unsent, setUnsent] = useState<Unsent>();
  const timer = useRef(0);
  const questions = useRef(0);

  const askIn = (ms: number) => {
    clearTimeout(timer.current);
    timer.current = setTimeout(ask, ms);
  };
  /** Returns a function that says whether an answer has come too late: something newer is known or was asked. */
  const begun = () => {
    clearTimeout(timer.current);
    const question = ++questions.current;
    return () => question !== questions.current;
  };
  const ask = () => {
    const isOld = begun();
    return api.session().then(
      (found) => {
        if (isOld()) return;
        setIsAway(false);
        setProblem("");
        setSession(found);
      },
      () => {
        if (isOld()) return;
        setIsAway(true);
        askIn(RETRY_MS);
      },
    );
  };
  /** Takes what the API has just said; what it is asked on the way is older. */
  const become = (known: api.Session) => {
    begun();
    setIsAway(false);
    setProblem("");
    setSession(known);
  };
  useEffect(() => {
    api.onSignedOut(() => {
      setWasSignedOut(true);
      become(NOBODY);
      // The refusal may be older than a sign-in in another tab, or than a question that is now dropped. Not at once: an API
      // that knows the session and refuses its questions, as one of two with keys of their own, would be asked without end.
      askIn(RETRY_MS);
    });
    void ask();
    // Another tab may have signed in or out meanwhile.
    addEventListener("focus", ask);
    return () => {
      clearTimeout(timer.current);
      removeEventListener("focus", ask);
    };
  }, []);

  const stopped = (more: Unsent) =>
    setUnsent((before) => ({ ...more, names: [...(before?.user === more.user ? before.names : []), ...more.names] }));
  const signOut = async () => {
    try {
      await api.signOut();
    } catch (error) {
      setProblem(wordsOf(error, t, "noAnswerOnce"));
      // An answer that was lost may have ended the session. The problem stays for as long as the API is away. The session
      // of an API that refuses goes on.
      return api.isAway(error) ? askIn(RETRY_MS) : undefined;
    }
    location.hash = "";
    setWasSignedOut(false);
    become(NOBODY);
  };

  return (
    <>
      <header class="top">
        <a class="brand" href="#/">{t("title")}</a>
        {session?.is_admin && <a class="to-admin" href="#/admin/queue">{t("administration")}</a>}
        <LanguageSwitch choose={choose} />
        {session?.user && (
          <>
            <span class="who">{t("signedInAs", { user: session.user })}</span>
            <button type="button" onClick={signOut}>{t("signOut")}</button>
          </>
        )}
      </header>
      <main>
        {isAway && !problem && <p class="notice" role="status">{t("noAnswer")}</p>}
        {problem && <p class="notice" role="alert">{problem}</p>}
        {session && unsent && (
          <UnsentNotice unsent={unsent} user={session.user} dismiss={() => setUnsent(undefined)} />
        )}
        {!session ? (
          !isAway && <p role="status">{t("loading")}</p>
        ) : session.user ? (
          <SignedIn key={session.user} user={session.user} session={session} stopped={stopped} />
        ) : (
          <SignIn wasSignedOut={wasSignedOut} done={become} />
        )}
      </main>
    </>
  );
}

interface SignedInProps { user: string; session: api.Session; stopped: (unsent: Unsent) => void }

function SignedIn({ user, session, stopped }: SignedInProps) {
  const place = usePlace();
  const [submitted, setSubmitted] = useState(0);
  const task = TASK.exec(place)?.[1];
  const earlier = AGAIN.exec(place)?.[1];
  const [demos, setDemos] = useState(0);
  const isAdmin = session.is_admin && isAdminPlace(place);
  const isFirst = task === undefined && !isAdmin;
  // The first view stays while a task is looked at, so that songs on their way go on being sent.
  return (
    <>
      <div hidden={!isFirst}>
        <KeptPlace isSeen={isFirst} task={task} isForm={earlier !== undefined} />
        <Submit
          user={user}
          submitted={() => setSubmitted((count) => count + 1)}
          stopped={(names) => stopped({ user, names })}
          earlier={earlier}
          demo={session.demo}
          demos={demos}
        />
        <Songs
          session={session}
          submitted={submitted}
          isSeen={isFirst}
          welcome={<Welcome demo={session.demo} tryDemo={() => setDemos((count) => count + 1)} />}
        />
      </div>
      {task && <TaskPage key={task} id={task} />}
      {isAdmin && <AdminPage place={place} />}
    </>
  );
}

function LanguageSwitch({ choose }: { choose: (language: Language) => void }) {
  const { t, language } = useSpeech();
  return (
    <select
      class="language"
      aria-label={t("language")}
      value={language}
      onChange={(event) => choose(event.currentTarget.value as Language)}
    >
      {LANGUAGES.map(([code, name]) => <option key={code} value={code}>{name}</option>)}
    </select>
  );
}
