"""The features a bench may have, and why one may lack them: a skipped test says its reason."""

FEATURES = {
    "power": "its power can be switched",
    "console": "its console is recorded from the first line on",
    "ssh": "it opens to the bench by SSH",
    "card": "its card can be written by the bench",
    "camera": "it has a camera that picamera2 drives",
    "hotspot": "it has a radio, and phones are in reach of it",
    "hands": "its button, tamper switch and lamp are wired to the bench",
    "uplink": "its uplink can be cut",
    "clock": "its clock can be set wrong at boot",
    "watchdog": "a watchdog resets it when it hangs",
    "powercut": "every write to its card is logged, so that each power cut can be replayed",
    "tryboot": "its firmware chooses the slot to boot by itself",
    "heat": "its processor's temperature can be said",
    "throttle": "its processor can be made hot",
}
"""Name, and what a bench with it can do. A target of the environment lists those it has."""


def lacking(bench: str, wanted: set[str], has: set[str]) -> str:
    """Return why a test that wants these features is skipped on `bench`; empty: it is not."""
    missing = sorted(wanted - has)
    if not missing:
        return ""
    reasons = "; ".join(f"{name}: not said of it that {FEATURES[name]}" for name in missing)
    return f"bench {bench} lacks {', '.join(missing)} ({reasons})"
