"""What a bench is made of, in labgrid's terms: protocols, drivers, and the strategy over them."""
