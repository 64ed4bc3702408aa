"""Runs the hub's nginx as the role configures it, in a stock Debian root and a network of its own.

The configuration is rendered from the role's template and defaults. What it writes is gone with it.
"""

import subprocess
from pathlib import Path
from typing import Self

import yaml
from jinja2 import Environment, StrictUndefined
from services.waiting import until

ROLE = Path(__file__).parents[2] / "playbooks/roles/nginx"
_SITE = Path(__file__).parents[2] / "hub/public/site"
_PYTHON = "/opt/simpul/current/lib/python3.13"
_PUBLIC = "/var/lib/simpul-hub/public"
# The first process of its own process names: when it ends, nginx does.
_START = """
set -eu
mount -t tmpfs tmpfs "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
cd "$2/root"
mount --bind /dev dev
ip link set lo up
sh -eu "$3"
exec chroot . nginx -g 'daemon off;'
"""


def configuration(**variables: object) -> str:
    """Return simpul.conf as the role writes it with these variables instead of its defaults."""
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    given = {
        **defaults,
        "ansible_managed": "",
        "nginx_public_directory": _PUBLIC,
        "nginx_python": {"files": [{"path": _PYTHON}]},
        **variables,
    }
    environment = Environment(  # noqa: S701 - no HTML
        trim_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined
    )
    template = environment.from_string((ROLE / "templates/simpul.conf.j2").read_text())
    return template.render(given)


class WebServer:
    """The public page with these stills; it is served within the `with` block."""

    def __init__(self, root: Path, folder: Path, *, stills: int, **variables: object) -> None:
        """`root` is left as it is; `variables` are the role's."""
        self._root = root
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("machine", "conf"):
            (folder / name).mkdir()
        (folder / "conf/simpul.conf").write_text(configuration(**variables))
        self._run_here(
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=kota.example"),
            *("-addext", "subjectAltName=DNS:kota.example"),
            *("-keyout", str(folder / "conf/page.key"), "-out", str(folder / "conf/page.pem")),
        )
        (folder / "prepare").write_text(f"""
rm -f etc/nginx/sites-enabled/* var/log/nginx/*
cp {folder}/conf/* etc/nginx/
ln -s ../simpul.conf etc/nginx/sites-enabled/simpul.conf
mkdir -p .{_PYTHON}/site-packages/hub/public .{_PUBLIC}/stills
cp -r {_SITE} .{_PYTHON}/site-packages/hub/public/site
echo '{{}}' > .{_PUBLIC}/cameras.json
for number in $(seq {stills}); do echo jpeg > .{_PUBLIC}/stills/n$number.jpg; done
""")

    def __enter__(self) -> Self:
        places = (self._root, self._folder / "machine", self._folder / "prepare")
        with (self._folder / "console").open("wb") as console:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c",
                 _START, "sh", *map(str, places)],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console,
            )  # fmt: skip
        try:
            until(self._answers, f"nginx; see {self._folder}/console")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process
        self._process.kill()  # --kill-child: nginx goes with it
        self._process.wait()

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program of this machine in the server's network."""
        words = ["nsenter", "--net", f"--target={self._pid()}", *command]
        return subprocess.run(words, check=check, capture_output=True, text=True)

    def curl(self, *words: str) -> str:
        """Ask for something; return the status, and what a redirect leads to."""
        line = ("curl", "--silent", "--insecure", "--output", "/dev/null", "--max-time", "20")
        return self.run(*line, "--write-out", "%{http_code} %{redirect_url}", *words).stdout.strip()

    def logs(self) -> dict[str, str]:
        """Return every file of nginx's logs with its content."""
        folder = self.root() / "var/log/nginx"
        return {file.name: file.read_text() for file in folder.iterdir()}

    def root(self) -> Path:
        """Return its machine's root."""
        return Path(f"/proc/{self._pid()}/root")

    def _pid(self) -> int:
        assert self._process
        number = self._process.pid
        return int(Path(f"/proc/{number}/task/{number}/children").read_text().split()[0])

    def _answers(self) -> bool:
        assert self._process
        if self._process.poll() is not None:
            raise RuntimeError((self._folder / "console").read_text(errors="replace"))
        try:
            return self.run("ss", "-Htln", check=False).stdout.strip() != ""
        except IndexError:
            return False

    def _run_here(self, *command: str) -> None:
        subprocess.run(command, check=True, capture_output=True)
