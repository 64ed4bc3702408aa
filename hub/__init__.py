"""The city side: keeps what the nodes measure and shows it to the public."""
