"""Why a contact did, or did not, get something: from records, in plain words."""
