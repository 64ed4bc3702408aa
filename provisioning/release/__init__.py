"""Makes releases of the agent at the desk: builds, signs, packs and shows them."""
