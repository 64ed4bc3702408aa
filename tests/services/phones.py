"""Phones that look at the public page, all from one address; prints how often each status came.

    python phones.py http://127.0.0.1:8080 PHONES VIEWS STILLS

Each phone is a browser: six connections, over which it fetches what one view of the page needs.
"""

import collections
import http.client
import sys
import threading
import time

_CONNECTIONS = 6
_FILES = ("/", "/style.css", "/words.js", "/page.js", "/favicon.svg", "/cameras.json")


def main(address: str, phones: int, views: int, stills: int) -> None:
    """Have every phone look at once."""
    statuses: collections.Counter[int] = collections.Counter()
    paths = (*_FILES, *(f"/stills/n{number + 1}.jpg" for number in range(stills))) * views

    def fetch(mine: tuple[str, ...]) -> None:
        connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)
        for path in mine:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            statuses[answer.status] += 1
        connection.close()

    threads = [
        threading.Thread(target=fetch, args=(paths[lane::_CONNECTIONS],))
        for _ in range(phones)
        for lane in range(_CONNECTIONS)
    ]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(*(f"{status}={count}" for status, count in sorted(statuses.items())))  # noqa: T201 - the answer
    print(f"in {time.monotonic() - begun:.1f} s", file=sys.stderr)  # noqa: T201 - as above


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
