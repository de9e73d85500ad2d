# A JupyterHub with the relay of a class as one of its services. tests/relay/test_hub.py starts a hub with this file.
import sys

c = get_config()  # noqa: F821  # JupyterHub gives it to this file

SCOPE = "access:services!service=deepseek"

c.JupyterHub.services = [
    {
        "name": "deepseek",
        "url": "http://127.0.0.1:8700",
        "command": [sys.executable, "-m", "deepseek_magic", "relay", "--class", "classroom.toml"],
        # The folder of classroom.toml, and of a file .env with DEEPSEEK_API_KEY=… that only the hub's user may read. The hub
        # would write an "environment" of a service into its database.
        "cwd": "/srv/deepseek",
        # The teacher's page asks the hub who opens it; without this line the hub asks the teacher whether it may.
        "oauth_no_confirm": True,
    }
]
c.JupyterHub.load_groups = {"class": {"users": ["ann"]}, "teachers": {"users": ["tom"]}}
c.JupyterHub.load_roles = [
    {"name": "class", "groups": ["class", "teachers"], "scopes": [SCOPE]},
    # Kernels ask with the token of their server, which has the scopes of this role that its user has, too. The first two are
    # JupyterHub's own; without the third every kernel is refused.
    {"name": "server", "scopes": ["users:activity!user", "access:servers!server", SCOPE]},
]

# All that a notebook needs. The service's own address, not the proxy's: a proxy costs more than the relay.
c.Spawner.environment = {"DEEPSEEK_BASE_URL": "http://127.0.0.1:8700/services/deepseek"}
