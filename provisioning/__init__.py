"""The technician's and fleet keeper's command `simpul`."""
