"""Templates in the platform's old syntax, ``$firstname$`` and ``{SPLIO IF …}``, turned into our Liquid.

``convert`` turns one text; ``convert_scenario`` the templates inside a scenario file. What means nothing here is left:
it becomes ``{{ not_converted['…'] }}``, a variable that does not exist, so that the check before publishing refuses the
template until somebody has looked. Nothing here reads a file.
"""

from scenario.legacy.convert import Converted, convert
from scenario.legacy.edits import Left
from scenario.legacy.fields import Names
from scenario.legacy.rewriting import convert_scenario, is_scenario

__all__ = ["Converted", "Left", "Names", "convert", "convert_scenario", "is_scenario"]
