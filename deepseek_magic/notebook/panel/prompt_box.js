// The prompt box of the panel: what only the front end can do. Keys that send, the text as it was when it was sent, a
// word when the kernel is busy, a cell put below this one, an explanation on every control.

const BUSY_AFTER_MS = 1000;
const DRESS_AFTER_MS = 300;

function element(tag, properties = {}, children = []) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

// JupyterLab and Notebook 7 have no call for "insert a cell" that a widget could make; their own tool bar has a button.
function inToolbar(root, name) {
  const bar = root.closest(".jp-NotebookPanel");
  return bar?.querySelector(`[data-jp-item-name="${name}"] jp-button, [data-jp-item-name="${name}"] button`);
}

// Its buttons act at the press of the mouse, some at the click; all of them at Enter.
function press(button) {
  button.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
}

async function insertBelow(root, text) {
  const cell = root.closest(".jp-Cell");
  const notebook = root.closest(".jp-Notebook");
  const add = inToolbar(root, "insert");
  if (!cell || !notebook || !add) return false;
  for (const kind of ["mousedown", "mouseup"]) {
    cell.querySelector(".jp-InputPrompt")?.dispatchEvent(new MouseEvent(kind, { bubbles: true, button: 0 }));
  }
  const before = new Set(notebook.querySelectorAll(".jp-Cell"));
  press(add);
  for (let tries = 0; tries < 40; tries += 1) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    const added = [...notebook.querySelectorAll(".jp-Cell")].find((one) => !before.has(one));
    const editor = added?.querySelector(".cm-content");
    if (!editor) continue;
    // An editor takes pasted text as it is; typed text it would indent and close the brackets of.
    const data = new DataTransfer();
    data.setData("text/plain", text);
    editor.focus();
    editor.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
    return editor.textContent.includes(text.split("\n")[0].trim().slice(0, 20));
  }
  return false;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

// As Escape in a cell: its keys go to the notebook again. JupyterLab 4 gives the focus to cells, JupyterLab 3 to notebooks.
function commandMode(root) {
  const cell = root.closest(".jp-Cell");
  const notebook = root.closest(".jp-Notebook");
  document.activeElement?.blur();
  for (const kind of ["mousedown", "mouseup"]) {
    cell?.querySelector(".jp-InputPrompt")?.dispatchEvent(new MouseEvent(kind, { bubbles: true, button: 0 }));
  }
  (cell?.tabIndex >= 0 ? cell : notebook)?.focus({ preventScroll: true });
}

// ipywidgets leaves most tooltips out of the page: the help of a setting is put on its label and its field here.
function explain(side, help) {
  for (const [name, text] of Object.entries(help)) {
    for (const control of side.querySelectorAll(`.deepseek-magic-option-${name}`)) {
      for (const part of [control, ...control.querySelectorAll("label, input, select, textarea")]) {
        if (part.title !== text) part.title = text;
        if (part.matches("input, select, textarea")) part.setAttribute("aria-description", text);
      }
    }
  }
}

// On a narrow page, as at 150 % zoom, the tabs stand below the conversation, and what one shows would be below the page.
function reveal(side) {
  const above = side.previousElementSibling?.getBoundingClientRect();
  if (above && side.getBoundingClientRect().top >= above.bottom) side.scrollIntoView({ block: "start" });
}

// What scrolls must be reached by the keyboard, for which ipywidgets has no setting.
function reachable(node, name) {
  node.tabIndex = 0;
  node.setAttribute("role", "region");
  node.setAttribute("aria-label", name);
}

function render({ model, el }) {
  const label = element("span", { className: "deepseek-magic-hidden" });
  const box = element("textarea", { rows: 3, spellcheck: true });
  const row = element("div", { className: "deepseek-magic-actions" });
  const note = element("div", { className: "deepseek-magic-note" });
  const field = element("label", {}, [label, box]);
  note.setAttribute("role", "status");
  el.classList.add("deepseek-magic-prompt");
  el.replaceChildren(field, row, note);

  let asked = model.get("heard");
  let timer = 0;
  const say = (text) => {
    if (note.textContent !== text) note.textContent = text;
  };
  const tell = (message) => {
    if (el.closest(".jupyter-widgets-disconnected")) return say(model.get("texts").ended);
    asked += 1;
    model.send({ ...message, number: asked });
    clearTimeout(timer);
    timer = setTimeout(() => say(model.get("texts").busy), BUSY_AFTER_MS);
  };
  const heard = () => {
    if (model.get("heard") < asked) return;
    clearTimeout(timer);
    if (note.textContent === model.get("texts").busy) say("");
  };
  const act = (name) => {
    if (name === "send" && !box.value.trim()) return box.focus();
    tell({ do: name, text: box.value });
  };
  // Each button is made once and then changed: one that is replaced under the mouse would swallow the click.
  const buttons = new Map();
  const keys = element("span", { className: "deepseek-magic-keys" });
  const buttonFor = (name) => {
    if (!buttons.has(name)) {
      const button = element("button", { type: "button" });
      button.dataset.action = name;
      button.addEventListener("click", () => act(name));
      buttons.set(name, button);
      row.append(button, keys);
    }
    return buttons.get(name);
  };
  // A class sees an answer that has ended from its question on; at its end stand small figures.
  let writing = false;
  const fromTheQuestion = () => {
    writing = false;
    const scroll = panel?.querySelector(".deepseek-magic-scroll");
    const asked = [...(panel?.querySelectorAll(".deepseek-magic-question") ?? [])].pop();
    if (!asked || !panel.classList.contains("deepseek-magic-class")) return;
    scroll.scrollTop += asked.getBoundingClientRect().top - scroll.getBoundingClientRect().top;
  };
  const drawActions = () => {
    const focused = document.activeElement;
    for (const { name, text, title, enabled, primary } of model.get("actions")) {
      const button = buttonFor(name);
      Object.assign(button, { textContent: text, title, disabled: !enabled });
      button.className = "jupyter-widgets jupyter-button widget-button" + (primary ? " mod-primary" : "");
    }
    keys.textContent = model.get("texts").keys;
    if (buttons.get("send").disabled) writing = true;
    else if (writing) setTimeout(fromTheQuestion, DRESS_AFTER_MS);
    if (row.contains(focused) && focused.disabled) box.focus();  // a disabled button would let the keys fall to the notebook
  };
  // A front end in another language would draw Chinese signs and punctuation as Japanese ones, and read them aloud so.
  const speak = () => {
    if (panel) panel.lang = model.get("texts").lang;
  };
  const drawTexts = () => {
    label.textContent = model.get("texts").label;
    speak();
    box.placeholder = model.get("texts").placeholder;
    drawActions();
  };
  const drawValue = () => {
    if (box.value !== model.get("value")) box.value = model.get("value");
  };

  box.addEventListener("input", () => {
    model.set("value", box.value);
    model.save_changes();
  });
  const sends = (event) => {
    if (event.ctrlKey || event.metaKey) return true;
    return model.get("enter") === "send" ? !event.shiftKey && !event.altKey : event.shiftKey;
  };
  box.addEventListener("keydown", (event) => {
    // The notebook has its own ideas of Shift-Enter and of single letters; Ctrl-S is meant for it.
    if (event.key === "Enter" || !(event.ctrlKey || event.metaKey)) event.stopPropagation();
    if (event.isComposing || event.keyCode === 229) return; // an input method's own Enter and Escape; Safari tells by the number
    if (event.key === "Enter" && sends(event)) {
      event.preventDefault();
      act("send");
    } else if (event.key === "Escape") {
      event.preventDefault();
      commandMode(el);
    }
  });
  // The buttons of ipywidgets say nothing when nobody hears them.
  const ended = (event) => {
    if (!event.target.closest("button") || el.contains(event.target)) return;
    if (!event.target.closest(".jupyter-widgets-disconnected")) return;
    say(model.get("texts").ended);
    note.scrollIntoView({ block: "nearest" });
  };
  // Stop is a button of ipywidgets above the conversation. Pressed through here, a kernel that is busy is said.
  const stop = (event) => {
    if (!event.target.closest(".deepseek-magic-stop")) return;
    event.stopImmediatePropagation();
    act("stop");
    box.focus({ preventScroll: true }); // the button goes, and with it the focus
  };
  const answered = async (message) => {
    const texts = model.get("texts");
    if (message.do === "taken" && box.value === message.text) {
      box.value = "";
      model.set("value", "");
      model.save_changes();
    } else if (message.do === "insert" || message.do === "run") {
      const inserted = await insertBelow(el, message.text);
      if (inserted && message.do === "run") press(inToolbar(el, "run"));
      if (inserted) say(texts.inserted);
      else say((await copy(message.text)) ? texts.copied_instead : texts.neither);
    } else if (message.do === "copy") {
      say((await copy(message.text)) ? texts.copied : texts.neither);
    } else if (message.do === "focus") {
      box.focus({ preventScroll: true });
    }
  };
  const events = [
    ["change:actions", drawActions],
    ["change:texts", drawTexts],
    ["change:value", drawValue],
    ["change:heard", heard],
    ["msg:custom", answered],
  ];
  for (const [name, listener] of events) model.on(name, listener);
  // A column's button puts its name where somebody writes; without this code the kernel puts it at the end of the prompt.
  let written = null;
  const write = (event) => {
    if (event.target.closest(".deepseek-magic-fills")) written = event.target;
  };
  const fill = (event) => {
    const column = event.target.closest(".deepseek-magic-column");
    const field = written?.isConnected ? written : panel.querySelector(".deepseek-magic-fills textarea");
    if (!column || !field) return;
    event.stopImmediatePropagation();
    field.setRangeText(column.textContent, field.selectionStart, field.selectionEnd, "end");
    for (const kind of ["input", "change"]) field.dispatchEvent(new Event(kind, { bubbles: true }));
    field.focus({ preventScroll: true });
  };
  // The panel's other parts are there when this box has a size; what is drawn in them later is seen to after a moment.
  let panel = null;
  let due = 0;
  let chosen = null;
  const turned = () =>
    requestAnimationFrame(() => {
      const tab = panel.querySelector(".lm-TabBar-tab.lm-mod-current, .p-TabBar-tab.p-mod-current");
      if (chosen && tab !== chosen) reveal(panel.querySelector(".deepseek-magic-side"));
      chosen = tab;
    });
  const dress = () => {
    due = 0;
    explain(panel, model.get("help"));
    for (const code of panel.querySelectorAll(".deepseek-magic-answer pre")) {
      if (code.scrollWidth > code.clientWidth) code.tabIndex = 0;
    }
  };
  // A letter on a list or a button is not the notebook's, which would make Markdown of the cell at an "m", or cut it.
  const keep = (event) => {
    if (event.key.length === 1 && !(event.ctrlKey || event.metaKey || event.altKey)) event.stopPropagation();
    else if (event.key === "Escape" && !event.target.matches("select")) commandMode(el);
  };
  const onPanel = [
    ["keydown", keep, false],
    ["click", ended, true],
    ["click", stop, true],
    ["click", fill, true],
    ["focusin", write, false],
    ["click", turned, false],
    ["keyup", turned, false],
  ];
  const later = new MutationObserver(() => {
    due ||= setTimeout(dress, DRESS_AFTER_MS);
  });
  const shown = new ResizeObserver(() => {
    const scroll = el.closest(".deepseek-magic-main")?.querySelector(".deepseek-magic-scroll");
    if (!scroll || panel) return;
    panel = el.closest(".deepseek-magic-panel");
    speak();
    reachable(scroll, model.get("texts").conversation);
    for (const [kind, listener, early] of onPanel) panel.addEventListener(kind, listener, early);
    turned();
    later.observe(panel, { childList: true, subtree: true });
    dress();
  });
  shown.observe(el);
  drawValue();
  drawTexts();
  model.send({ do: "drawn" });
  return () => {
    shown.disconnect();
    later.disconnect();
    for (const [kind, listener, early] of onPanel) panel?.removeEventListener(kind, listener, early);
    clearTimeout(timer);
    clearTimeout(due);
    for (const [name, listener] of events) model.off(name, listener);
  };
}

export default { render };
