"""The access point's room: renders what hostapd, dnsmasq and nftables are told."""
