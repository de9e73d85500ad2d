// Copy and Insert below on each code block of an answer: in the settled outputs of cells, also of a notebook that was opened
// again, and in panels. An answer that is still written redraws its blocks and gets them when it settles.

const COPIED_MS = 2000;
const BLOCK = ".jp-RenderedMarkdown pre:not(.deepseek-magic-code)";
const WITHOUT = ".deepseek-magic, .jp-Mermaid, .jp-RenderedMermaid"; // an answer that grows, and what is drawn
const PANEL = ".deepseek-magic-transcript";
const BAR = "deepseek-magic-code-bar";

export function follow({ notebook: { NotebookActions }, apputils: { Clipboard }, components }, notebooks, names, texts) {
  const drawn = new Map();

  // A picture is read once: a notebook may have hundreds of blocks.
  function picture(name) {
    if (!drawn.has(name)) drawn.set(name, components[name].element({ tag: "span" }));
    return drawn.get(name).cloneNode(true);
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      Clipboard.copyToSystem(text); // where the page was not loaded by https, browsers have no other
    }
  }

  function toNotebook(notebook) {
    document.activeElement?.blur(); // older versions leave the focus where it is, if that is in the notebook
    notebook.activate();
  }

  function insert(notebook, cell, text) {
    notebook.activeCellIndex = notebook.widgets.indexOf(cell);
    NotebookActions.insertBelow(notebook);
    notebook.activeCell.model.sharedModel.setSource(text);
    toNotebook(notebook);
  }

  function button(icon, text, act) {
    const made = document.createElement("button");
    made.type = "button";
    made.dataset.text = text;
    made.append(picture(icon));
    made.addEventListener("click", () => act(made));
    return made;
  }

  const spoken = (panel) => (text) => texts.say(text, names.languageOf(panel));

  function label(panel, made) {
    for (const one of made.querySelectorAll("button")) {
      one.title = spoken(panel)(one.dataset.text);
      one.setAttribute("aria-label", one.title);
    }
  }

  function bar(panel, cell, block) {
    const code = () => (block.querySelector("code") ?? block).textContent.replace(/\n$/, "");
    const made = document.createElement("div");
    const said = Object.assign(document.createElement("span"), { className: "deepseek-magic-said" });
    said.setAttribute("role", "status");
    const copied = async (pressed) => {
      await copy(code());
      const before = pressed.firstChild;
      said.textContent = spoken(panel)("Copied.");
      pressed.replaceChildren(picture("checkIcon"));
      setTimeout(() => {
        said.textContent = "";
        pressed.replaceChildren(before);
      }, COPIED_MS);
    };
    made.className = BAR;
    made.dataset.lmSuppressShortcuts = "true"; // or the notebook takes Enter for its own
    made.addEventListener("keydown", ({ key }) => key === "Escape" && toNotebook(panel.content));
    made.append(
      said,
      button("copyIcon", "Copy", copied),
      button("addBelowIcon", "Insert below", () => insert(panel.content, cell, code())),
    );
    label(panel, made);
    return made;
  }

  function isAnswer(cell, block) {
    if (block.closest(PANEL)) return true;
    const { outputs } = cell.model;
    for (let at = 0; at < outputs.length; at += 1) if (outputs.get(at).metadata?.deepseek_magic) return true;
    return false;
  }

  function decorate(panel) {
    for (const block of panel.content.node.querySelectorAll(BLOCK)) {
      if (block.closest(WITHOUT)) continue;
      const cell = panel.content.widgets.find(({ node }) => node.contains(block));
      if (cell?.model.type !== "code" || !isAnswer(cell, block)) continue;
      block.classList.add("deepseek-magic-code");
      block.prepend(bar(panel, cell, block));
    }
  }

  function watch(panel) {
    let due = 0;
    const observer = new MutationObserver((changes) => {
      if (due || !changes.some(({ addedNodes }) => addedNodes.length)) return;
      due = requestAnimationFrame(() => {
        due = 0;
        decorate(panel);
      });
    });
    observer.observe(panel.content.node, { childList: true, subtree: true });
    panel.disposed.connect(() => observer.disconnect());
    decorate(panel);
  }

  names.listeners.add((panel) => {
    for (const made of panel.content.node.querySelectorAll(`.${BAR}`)) label(panel, made);
  });
  notebooks.forEach(watch);
  notebooks.widgetAdded.connect((_tracker, panel) => watch(panel));
}
