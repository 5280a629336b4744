"""The scenario language: what an author writes and an engine sends. No Temporal, no I/O.

Where to begin:

* `scenario.check`: everything wrong with a file, and the scenario that it is; over `source` (YAML with its places),
  `structure` and `spelling` (keys and values), `rules` (the whole), `webhooks` (deliveries), `templates`, `variables`
  and `saved` (what they may name).
* `scenario.model`, `scenario.steps` (a module a kind), `scenario.parts`, `scenario.terms`: the file as pydantic
  models.
* `scenario.document`: scenarios as they are stored. `scenario.schema`: the file's JSON Schema.
* `scenario.compile` makes a `scenario.plan`, the flat table of steps that a journey carries.
* `scenario.entry`: a contact asking to come in; over `objects` and `values`, a platform's data in one clean shape.
* `scenario.expectations`, `scenario.fitting`: the schema of a response that is kept, and whether one fits it.
* `scenario.timing`, `scenario.duration`: when waits end.
* `scenario.mails`: how large an e-mail may be.
* `scenario.liquid`: the template engine.

Importing this package loads none of them: a journey needs few.
"""
