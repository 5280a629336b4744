"""Why a contact did, or did not, get a message: from records, in plain words."""
