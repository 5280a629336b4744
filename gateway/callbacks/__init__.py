"""The way in for receivers: signed addresses by which one journey is told that something happened."""
