"""What a card carries of its node: the cloud-init NoCloud seed."""
