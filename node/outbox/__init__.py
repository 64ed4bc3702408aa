"""The durable queue between what a node measures and what it has managed to send."""
