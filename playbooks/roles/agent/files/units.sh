#!/bin/sh
# Says of each unit whether it is on at boot, and whether it runs. Not by `systemctl show`: that tells
# what systemd has read, and not what lies on the disk.
for unit; do
    echo "$unit $(systemctl is-enabled "$unit" 2> /dev/null) $(systemctl is-active "$unit")"
done
