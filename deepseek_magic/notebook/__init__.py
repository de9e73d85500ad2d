"""What a person sees. The only floor that knows IPython and ipywidgets."""
