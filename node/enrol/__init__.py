"""The side of the node in its enrolment: its keys are made here and never leave."""
