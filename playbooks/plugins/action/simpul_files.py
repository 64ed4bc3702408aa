"""Sends files from the controller to the module of the same name: all of a task's in one go."""

import base64
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):  # type: ignore[misc] # Ansible has no types
    """The plugin, as Ansible loads it; its options stand in the module's documentation."""

    def run(
        self, tmp: str | None = None, task_vars: dict[str, object] | None = None
    ) -> dict[str, Any]:
        """Return what the module says. Raises AnsibleError when a source cannot be read."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = self._task.args
        files = [self._with_content(entry) for entry in arguments.get("files", [])]
        said = self._execute_module(
            module_name=self._task.action,
            module_args={**arguments, "files": files},
            task_vars=task_vars,
        )
        return result | said

    def _with_content(self, entry: dict[str, Any]) -> dict[str, Any]:
        sent = {key: value for key, value in entry.items() if key not in ("content", "src")}
        if "src" in entry:
            sent["base64"] = base64.b64encode(self._read(entry["src"])).decode()
        elif "content" in entry:
            sent["base64"] = base64.b64encode(entry["content"].encode()).decode()
        return sent

    def _read(self, source: str) -> bytes:
        """Return a file's bytes; one of ansible-vault is opened, as the module copy does."""
        found = self._find_needle("files", source)
        real = self._loader.get_real_file(found)
        try:
            return Path(real).read_bytes()
        finally:
            self._loader.cleanup_tmp_file(real)
