"""Tells where nodes differ from what inventory, playbooks and rollouts say that they are."""
