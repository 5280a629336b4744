"""Public routes: signed URLs for events of one journey and for unsubscribing, and returned mails."""
