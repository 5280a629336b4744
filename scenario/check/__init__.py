"""Everything wrong with a scenario, before it is published."""
