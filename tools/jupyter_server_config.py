"""Configuration of `make lab`: JupyterLab for one person on this computer, asking nobody."""

from pathlib import Path

c = get_config()  # noqa: F821  (Jupyter puts it here)


def _without_news(_handler, page_config):
    """Turn off the question whether to fetch news, which news_url = None leaves on."""
    news = "@jupyterlab/apputils-extension:announcements"
    page_config["disabledExtensions"] = [*page_config.get("disabledExtensions", []), news]
    return page_config


c.ServerApp.ip = "127.0.0.1"
c.ServerApp.root_dir = str(Path(__file__).resolve().parent.parent)
c.ServerApp.allow_root = True  # containers; who may connect is decided by the token
c.ServerApp.tornado_settings = {"page_config_hook": _without_news}
c.LabApp.default_url = "/lab/tree/notebooks"
c.KernelManager.transport_encryption = "auto"

# no request leaves this computer
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.news_url = None
c.LabApp.extension_manager = "readonly"
