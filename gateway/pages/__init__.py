"""The pages for people: HTML from templates, which works without JavaScript, behind a session that a key begins."""
