"""The scenario language: what an author writes and an engine sends. It knows no Temporal and does no I/O.

* `source`: a file's text as plain data, with the place of everything in it.
* `model`: the file as pydantic models. `steps`: one module per step kind.
* `check`: mistakes in a file, before it is published.
* `plan`: the flat table of steps that a journey carries, and the data that steps get.
* `entry`: an entry, and the platform's data in clean shapes.
* `responses`: saved responses. `http`: allowed URLs, addresses and headers.
* `time`: durations and ends of waits. `policies`: rules for all scenarios.
* `liquid`: the template engine. `extensions`: optional parts, such as `splio`.

Importing this package loads none of them, since a journey needs few.
"""
