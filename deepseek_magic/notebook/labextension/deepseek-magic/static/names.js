// What the kernel calls its variables, for each notebook with prompts. The kernel's side (names.py) waits on a channel that
// is asked for in the protocol's own way (comm_info_request), which runs no code, writes no history and which every kernel
// answers; where our extension is not loaded there is no such channel, and nothing more is said. From then on the kernel
// tells by itself what has changed after a cell. A busy kernel is not asked: it is when it is idle again.

const TARGET = "deepseek_magic.names";

export class Names {
  constructor({ notebook, services }, isPrompt) {
    this.executed = notebook.NotebookActions.executed;
    this.createMessage = services.KernelMessage.createMessage;
    this.isPrompt = isPrompt;
    this.notebooks = null;
    this.links = new Map(); // notebook panel → Link
    this.homes = new WeakMap(); // cell model → Link
    this.readers = new Set(); // with `model` and `changed()`
    this.listeners = new Set(); // called with the panel whose kernel has told something
  }

  follow(notebooks) {
    this.notebooks = notebooks;
    const add = (_tracker, panel) => {
      this.links.set(panel, new Link(this, panel));
      panel.disposed.connect(() => this.links.delete(panel));
    };
    notebooks.forEach((panel) => add(notebooks, panel));
    notebooks.widgetAdded.connect(add);
    this.executed.connect((_sender, { notebook }) => {
      for (const [panel, link] of this.links) if (panel.content === notebook) link.ask();
    });
  }

  linkOf(model) {
    if (!this.homes.has(model)) {
      const has = ({ content }) => [...(content.model?.cells ?? [])].includes(model);
      const found = [...this.links].find(([panel]) => has(panel));
      if (!found) return undefined;
      this.homes.set(model, found[1]);
    }
    return this.homes.get(model);
  }

  // `isKnown(name)` and `language` of the kernel of a cell; null while they are not known.
  of(model) {
    return this.linkOf(model)?.known ?? null;
  }

  languageOf(panel) {
    return this.links.get(panel)?.known?.language;
  }

  join(reader) {
    this.readers.add(reader);
    queueMicrotask(() => this.linkOf(reader.model)?.ask());
  }

  leave(reader) {
    this.readers.delete(reader);
  }

  tell(link) {
    for (const reader of this.readers) if (this.linkOf(reader.model) === link) reader.changed();
    for (const listener of this.listeners) listener(link.panel);
  }
}

class Link {
  constructor(names, panel) {
    this.names = names;
    this.panel = panel;
    this.forget();
    const { sessionContext } = panel;
    sessionContext.kernelChanged.connect(() => this.restart());
    sessionContext.connectionStatusChanged.connect((_context, status) => status === "connected" && this.restart());
    sessionContext.statusChanged.connect((_context, status) => {
      if (/restarting|terminating|dead/.test(status)) this.forget();
      if (status === "idle" && this.wanted) this.ask();
    });
    sessionContext.iopubMessage.connect((_context, message) => this.hear(message));
    this.ask();
  }

  forget() {
    const had = this.known;
    this.known = null;
    this.channel = null;
    this.wanted = false;
    this.asking = false;
    if (had) this.names.tell(this);
  }

  restart() {
    this.forget();
    this.ask();
  }

  hasPrompts() {
    return [...(this.panel.content.model?.cells ?? [])].some(
      (cell) => cell.type === "code" && this.names.isPrompt(cell.sharedModel.getSource()),
    );
  }

  async ask() {
    const kernel = this.panel.sessionContext.session?.kernel;
    if (this.channel || !this.hasPrompts()) return;
    this.wanted = this.asking || kernel?.status !== "idle"; // then it is asked when that has ended
    if (this.wanted) return;
    this.asking = true;
    try {
      const { content } = await kernel.requestCommInfo({ target_name: TARGET });
      const [channel] = Object.keys(content.comms ?? {});
      if (!channel || kernel !== this.panel.sessionContext.session?.kernel) return;
      this.channel = channel;
      this.send(kernel, channel);
    } catch {
      // The kernel has ended meanwhile; the next one is asked.
    } finally {
      this.asking = false;
    }
    if (this.wanted) this.ask();
  }

  // By a message, not by a comm of JupyterLab's, for which a kernel starts a thread.
  send(kernel, channel) {
    const message = this.names.createMessage({
      msgType: "comm_msg",
      channel: "shell",
      session: kernel.clientId,
      username: kernel.username,
      content: { comm_id: channel, data: {} },
    });
    kernel.sendShellMessage(message, false, true);
  }

  hear({ header, content }) {
    if (!this.channel || content.comm_id !== this.channel) return;
    if (header.msg_type === "comm_close") this.restart();
    if (header.msg_type !== "comm_msg") return;
    const names = new Set(content.data.names);
    this.known = { isKnown: (name) => names.has(name), language: content.data.language };
    this.names.tell(this);
  }
}
