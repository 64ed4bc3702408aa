"""The fleet authority: makes and takes back the papers of nodes and technicians."""
