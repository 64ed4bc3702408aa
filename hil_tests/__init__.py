"""The hardware-in-the-loop suite: one set of tests, on real boards and on a virtual one."""
