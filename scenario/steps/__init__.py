"""The kinds of steps, each in a module of its own, and the host that they are performed on.

A kind is its model (what an author may write), its row of the plan (what a journey carries), the way from the one to
the other, and how it is performed. `registry` is the one list of kinds: a new one is a module and a line there.
"""
