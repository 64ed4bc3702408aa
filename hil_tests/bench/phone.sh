#!/bin/sh
# One phone of a bench: a radio in a network namespace of its own, with real programs on it.
# phone.sh NAME internet INTERFACE | take PHY | join SSID | leave | fetch URL | connects HOST PORT |
#     serve TEXT | mac | radio
set -eu
name=$1 action=$2
room=/var/lib/simpul-phone/$name
inside="ip netns exec $name"
radio() { $inside sh -c 'basename "$(ls -d /sys/class/net/*/phy80211 | head -n 1 | xargs dirname)"'; }

case $action in
internet)
    # What stands for the internet where the machine has none: an address for tests (RFC 2544).
    ip netns add "$name"
    ip link add "$3" type veth peer name wan0 netns "$name"
    ip address add 198.18.0.1/24 dev "$3"
    ip link set "$3" up
    $inside ip address add 198.18.0.10/24 dev wan0
    for each in lo wan0; do $inside ip link set "$each" up; done
    mkdir -p "$room/www"
    echo "the internet" > "$room/www/index.html"
    $inside busybox httpd -h "$room/www" > /dev/null 2>&1
    ;;
take)
    mkdir -p "$room" "/etc/netns/$name"
    : > "/etc/netns/$name/resolv.conf"
    ip netns add "$name"
    iw phy "$3" set netns name "$name"
    $inside ip link set lo up
    $inside ip link set "$(radio)" up
    ;;
join)
    interface=$(radio)
    printf 'network={\n ssid="%s"\n key_mgmt=NONE\n}\n' "$3" > "$room/supplicant.conf"
    $inside wpa_supplicant -B -q -P "$room/pid" -D nl80211 -i "$interface" -c "$room/supplicant.conf" > /dev/null
    n=0
    until $inside iw dev "$interface" link | grep -q '^Connected to'; do
        n=$((n + 1))
        [ $n -lt 120 ] || { echo "$name did not join $3 within 120 s" >&2; exit 1; }
        sleep 1
    done
    cat > "$room/lease.sh" << 'LEASE'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip address flush dev "$interface"
ip address add "$ip/$subnet" dev "$interface"
ip route replace default via "$router"
for server in $dns; do echo "nameserver $server"; done > /etc/resolv.conf
echo "$ip" > "$ROOM/lease"
LEASE
    chmod 755 "$room/lease.sh"
    ROOM=$room $inside busybox udhcpc -i "$interface" -n -q -t 20 -T 3 -s "$room/lease.sh" > "$room/dhcp" 2>&1 ||
        { cat "$room/dhcp" >&2; exit 1; }
    cat "$room/lease"
    ;;
leave)
    [ ! -e "$room/pid" ] || kill "$(cat "$room/pid")" || true
    ;;
fetch) $inside curl -sS --max-time 8 "$3" ;;
connects) $inside busybox nc -w 8 "$3" "$4" < /dev/null > /dev/null ;;
serve)
    mkdir -p "$room/www"
    echo "$3" > "$room/www/index.html"
    $inside busybox httpd -h "$room/www" > /dev/null 2>&1
    ;;
radio) radio ;;
mac) $inside cat "/sys/class/net/$(radio)/address" ;;
*)
    echo "unknown action $action" >&2
    exit 2
    ;;
esac
