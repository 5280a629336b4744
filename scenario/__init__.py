"""The scenario language: what an author writes and an engine sends. No Temporal, no I/O.

* `source`: a file's text as plain data, with the place of everything in it.
* `model`: the file as pydantic models. `steps`: a module a kind of step.
* `check`: everything wrong with a file, before it is published.
* `plan`: the flat table of steps that a journey carries, and what each step is handed.
* `entry`: a contact asking to come in; a platform's data in one clean shape.
* `responses`: what is kept of a receiver's answer. `http`: what URLs, addresses and headers may be.
* `time`: durations, and when waits end.
* `liquid`: the template engine. `extensions`: optional parts, such as `splio`.

Importing this package loads none of them: a journey needs few.
"""
