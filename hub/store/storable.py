"""Makes any JSON of a node fit for the strictest database, so that none can block the rest."""

import msgspec

_NUL = "\\u0000"
_UNREADABLE = "null"


def storable_json(data: bytes | msgspec.Raw) -> str:
    """Return `data` as JSON text that PostgreSQL's jsonb and SQLite both keep.

    Numbers out of range, broken escapes and endless nesting become null (what cannot be read by
    us cannot be read by anybody), U+0000 becomes U+FFFD: jsonb refuses them all (PostgreSQL
    manual, 8.14 "JSON Types").
    """
    try:
        value: object = msgspec.json.decode(data)
        text = msgspec.json.encode(value).decode()
        return msgspec.json.encode(_cleaned(value)).decode() if _NUL in text else text
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _UNREADABLE


def _cleaned(value: object) -> object:
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {_cleaned(key): _cleaned(item) for key, item in value.items()}
    return value
