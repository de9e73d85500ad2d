// JupyterLab keeps the channel of a closed widget for as long as the page lives; the channel keeps the widget's model, and
// the model all who ever listened to it: each of its views, with whatever they had drawn. Here both are let go.

const VIEWS_ARE_GONE_MS = 1000;

const nothing = () => {};

function sweep(model, channel) {
  model.off();
  model.state_change = Promise.resolve(); // it held the view that was made last
  model.attributes = model._previousAttributes = model.changed = {}; // the children, and those of before
  channel?.on_msg(nothing);
  channel?.on_close(nothing);
}

export default {
  initialize({ model: broom }) {
    broom.on("msg:custom", ({ closed }) => {
      for (const id of closed) {
        broom.widget_manager.get_model(id).then((model) => {
          const channel = model.comm; // the model itself forgets it when it is closed
          setTimeout(() => sweep(model, channel), VIEWS_ARE_GONE_MS);
        }, nothing);
      }
    });
  },
};
