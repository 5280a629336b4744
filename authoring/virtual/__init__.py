"""Steps and journeys in virtual time, for previews and cases."""
