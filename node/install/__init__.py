"""The one installer of releases on a node: fetch, verify, unpack, flip, confirm or revert."""
