"""The map of a scenario: its plan as a drawing, a table, and Mermaid. No I/O."""
