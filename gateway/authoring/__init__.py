"""Checks and previews for who asks over HTTP: in processes of their own, since what is sent may be made to hurt."""
