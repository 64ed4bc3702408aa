"""Three nodes, a broker and a hub on one machine, without root: the whole product at a glance."""
