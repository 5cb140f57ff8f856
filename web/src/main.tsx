import "./style.css";
import { render } from "preact";
import { App } from "./app";

const place = document.getElementById("app") as HTMLElement;
place.replaceChildren(); // what index.html says to those whose browser does not start this
render(<App />, place);
