"""The step kinds, one module each, and the host on which steps are performed.

A kind consists of its model (for authors), its row of a plan (for journeys), the compilation from one to the other, and
`perform`. `registry` is the list of kinds: a new kind is a module and a line there.
"""
