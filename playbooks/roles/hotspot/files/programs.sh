#!/bin/sh
# Says which programs have a hand on the radio, and how the services of packages stand: one start for
# all of it, as each look by itself would cost a board a second.
ls /usr/sbin/NetworkManager /usr/sbin/wpa_supplicant 2> /dev/null
for unit in hostapd.service nftables.service; do
    echo "$unit $(systemctl is-enabled "$unit" 2> /dev/null)"
done
echo "hostapd.service $(systemctl is-active hostapd.service)"
