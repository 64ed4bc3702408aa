"""Notes, in a check, every task that would change something on a host: for `simpul status --drift`.

One JSON object a line goes to the file that the environment variable SIMPUL_DRIFT names.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.playbook.handler import Handler
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: drift
type: notification
short_description: notes what a check would change
description:
  - Writes one line of JSON for each change, failure and unreachable host of a check.
requirements:
  - SIMPUL_DRIFT in the environment names the file
"""
_PLACES = ("dest", "path", "name")
_TEXT_MAX = 20_000


class CallbackModule(CallbackBase):  # type: ignore[misc] # Ansible has no types
    """The plugin, as Ansible loads it."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "drift"
    CALLBACK_NEEDS_ENABLED = True

    def v2_runner_on_ok(self, result: Any) -> None:  # noqa: ANN401 - Ansible has no types
        """Note what would be changed; what only follows from it (handlers) is no difference."""
        if result.is_changed() and not isinstance(result.task, Handler):
            for each in _single(result.result):
                if each.get("changed"):
                    self._note(result, "changed", each)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:  # noqa: ANN401, FBT001, FBT002 - Ansible's own signature
        """Note what cannot even be looked at, such as a unit that is not there."""
        del ignore_errors
        if not isinstance(result.task, Handler):
            for each in _single(result.result):
                # Ansible itself takes the word from the task's own result, and leaves a turn's.
                if each is result.result or each.get("failed"):
                    self._note(result, "failed", each)
                elif each.get("changed"):
                    self._note(result, "changed", each)

    def v2_runner_on_unreachable(self, result: Any) -> None:  # noqa: ANN401 - as above
        """Note who did not answer."""
        self._note(result, "unreachable", result.result)

    def _note(self, result: Any, what: str, said: dict[str, Any]) -> None:  # noqa: ANN401 - as above
        arguments = said.get("invocation", {}).get("module_args", {})
        places = [str(arguments[name]) for name in _PLACES if arguments.get(name)]
        line = {
            "node": result.host.get_name(),
            "what": what,
            "task": result.task.get_name(),
            "place": str(said.get("dest") or said.get("path") or (places or [""])[0]),
            "words": str(said.get("msg", "")),
            "diffs": [*_diffs(said)],
        }
        # A file that is no UTF-8 comes as lone surrogates (PEP 383), which no JSON reader takes.
        notes = Path(os.environ["SIMPUL_DRIFT"])
        with notes.open("a", encoding="utf-8", errors="replace") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _single(said: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the results of a task: for each turn of its loop, each file of simpul_files."""
    if parts := said.get("results") or said.get("laid"):
        yield from parts
    else:
        yield said


def _diffs(said: dict[str, Any]) -> Iterator[list[str]]:
    found = said.get("diff") or []
    for each in found if isinstance(found, list) else [found]:
        yield [_text(each.get(side, "")) for side in ("before", "after")]


def _text(side: object) -> str:
    """Return one side of a difference; a module gives a text, or its facts as a dictionary."""
    text = side if isinstance(side, str) else json.dumps(side, indent=1, sort_keys=True)
    return text[:_TEXT_MAX]
