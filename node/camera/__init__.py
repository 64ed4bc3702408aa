"""The camera of a node: takes frames, blackens what is nobody's business, and makes public stills.

The camera is a process of its own (`process`), started and watched by the agent (`source`):

    sensor -> mask -> watchers (motion, view guard, encoder: their place) -> still -> pipe -> agent

Nothing stands in this file, so that the agent's side imports neither numpy nor a codec.
"""
