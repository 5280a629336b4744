"""The pages: HTML from templates, usable without JavaScript, in a session that an API key starts."""
