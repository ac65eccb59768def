/* App: what runs on every page. Each part below promises its own behaviour. */

import { startConfirm } from "./confirm.js";
import { startExamples } from "./examples.js";
import { startForms } from "./forms.js";
import { startRefresh } from "./refresh.js";
import { startTimes } from "./times.js";

startTimes();
startForms();
startConfirm();
startExamples();
startRefresh();
