"""Rendering functions by output format.

All of them raise TemplateError if the template is malformed, or cannot be rendered with the data; LimitExceeded, one
of these, if it takes too many steps or its output is too large; and Aborted if the template aborts the delivery. An
error has its position in the template and, in a structured body, the path of the text. In webhooks a missing variable
is an error.
"""
