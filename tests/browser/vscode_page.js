// What VS Code's Jupyter extension does in its page, as far as widgets are concerned: its own widget manager on a kernel of
// a Jupyter server, cells with VS Code's addresses for names, and widget code that is asked for and not found.
async (code) => {
  const { activate } = await import(code);
  activate();
  window.vscIPyWidgets8.load();

  const page = document.createElement("main");
  page.style = "position: fixed; inset: 0; z-index: 100000; overflow: auto; padding: 16px; background: white";
  document.body.append(page);

  const session = await window.jupyterapp.serviceManager.sessions.startNew({
    name: "lesson.ipynb",
    path: "lesson.ipynb",
    type: "notebook",
    kernel: { name: "python3" },
  });
  const missing = [];
  const scripts = {
    widgetsRegisteredInRequireJs: new Set(),
    loadWidgetScript: async () => {},
    successHandler: () => {},
    errorHandler: (_class, module) => missing.push(module),
  };
  const manager = new window.vscIPyWidgets.WidgetManager(session.kernel, page, scripts, () => {});

  const replies = [];
  const comms = [];
  const places = new Map();

  async function draw(content, cell) {
    const id = content.transient?.display_id;
    let place = id && places.get(id);
    if (!place) {
      place = cell.appendChild(document.createElement("div"));
      if (id) places.set(id, place);
    }
    const view = content.data["application/vnd.jupyter.widget-view+json"];
    if (!view) {
      place.textContent = content.data["text/markdown"] ?? content.data["text/plain"] ?? "";
      return;
    }
    const model = await manager.get_model(view.model_id);
    await manager.display_view(view, await manager.create_view(model, { el: place }), { node: place });
  }

  async function run(source) {
    const cell = page.appendChild(document.createElement("section"));
    const number = page.children.length;
    const named = { cellId: `vscode-notebook-cell:/home/me/lesson.ipynb#W${number}sZmlsZQ%3D%3D` };
    const asked = { code: source, allow_stdin: true, stop_on_error: false };
    const future = session.kernel.requestExecute(asked, false, named);
    future.onIOPub = ({ header, content }) => {
      if (header.msg_type === "comm_open") comms.push(content.data.state?._anywidget_id ?? "");
      if (header.msg_type === "error") cell.append(content.evalue);
      if (header.msg_type === "stream") cell.append(content.text);
      if (/^(update_)?display_data$|^execute_result$/.test(header.msg_type)) draw(content, cell);
    };
    replies.push((await future.done).content.status);
  }

  window.vscode = { run, replies, comms, missing };
}
