"""Says how the machine itself is: heat, power, memory, storage, clock; and what others add."""
