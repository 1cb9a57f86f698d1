import { render } from "preact";

import { App } from "./app";
import "./style.css";
import "./styles/list.css";
import "./styles/submit.css";
import "./styles/task.css";

render(<App />, document.getElementById("app")!);
