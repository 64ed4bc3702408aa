"""Keeps who did what to which node: one line for each deed, signed with the SSH key that did it."""
