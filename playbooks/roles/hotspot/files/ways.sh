#!/bin/sh
# Prints the interfaces that this machine goes out by, and the one by which whoever runs this came.
set -eu

devices() {
    tr ' ' '\n' | sed -n '/^dev$/{n;p;}'
}

# sudo drops what sshd told: it is looked for in the processes above.
connection() {
    process=$$
    while [ "$process" -gt 1 ]; do
        tr '\0' '\n' < "/proc/$process/environ" | sed -n 's/^SSH_CONNECTION=//p' | grep . && break
        process=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$process/status")
    done
}

ip -oneline route show default | devices
# A kernel may have no IPv6.
ip -6 -oneline route show default | devices || true
# shellcheck disable=SC2046 # four words
set -- $(connection)
[ $# -eq 4 ] || exit 0
case "$1" in
    # An address of a link is told with its interface.
    *%*) echo "${1#*%}" ;;
    *) ip -oneline route get "$1" | devices ;;
esac
ip -oneline address show to "${3%\%*}" | sed 's/^[0-9]*: \([^ @:]*\).*/\1/'
