"""The style sheet of maps, for pages and for standalone files.

Elements have no inline styles, so a page's policy can forbid them.
"""

from __future__ import annotations

from typing import Final

FONT: Final = 'ui-sans-serif, system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'

_LIGHT: Final = """\
  --map-back: #ffffff; --map-box: #ffffff; --map-ink: #1b2430; --map-soft: #5d6b7c; --map-line: #a3afbd;
  --map-border: #cfd7e0; --map-label: #f3f5f8;
  --map-sends: #1d6fd8; --map-waits: #8a6100; --map-divides: #7a3fd0; --map-repeats: #0b7a75; --map-ends: #5d6b7c;
  --map-good: #1a7f43; --map-bad: #c02b2b; --map-warn: #8a5a00; --map-tint: 10%;"""
_DARK: Final = """\
  --map-back: #12171d; --map-box: #1b222b; --map-ink: #e8edf3; --map-soft: #9eabba; --map-line: #5f6d7d;
  --map-border: #37424f; --map-label: #252e39;
  --map-sends: #6fb0ff; --map-waits: #e2b04a; --map-divides: #c09bff; --map-repeats: #4fd0c7; --map-ends: #9eabba;
  --map-good: #5fd08a; --map-bad: #ff8a80; --map-warn: #f0b75e; --map-tint: 20%;"""

STYLE: Final = f"""\
.map {{
  color-scheme: light dark;
{_LIGHT}
}}
@media (prefers-color-scheme: dark) {{ .map {{
{_DARK}
}} }}
.map .ground {{ fill: var(--map-back); }}
.map text {{ fill: var(--map-ink); }}
.map .edge {{ fill: none; stroke: var(--map-line); stroke-width: 1.5; }}
.map .head {{ fill: var(--map-line); }}
.map .label rect {{ fill: var(--map-label); stroke: var(--map-border); }}
.map .label text, .map .id, .map .detail, .map .note {{ fill: var(--map-soft); }}
.map .pill rect {{ fill: var(--map-label); stroke: var(--map-line); }}
.map .pill.start rect {{ fill: var(--map-ink); stroke: var(--map-ink); }}
.map .pill.start text {{ fill: var(--map-back); }}
.map .pill.jump rect {{ stroke-dasharray: 4 3; }}
.map .step > .box {{ fill: var(--map-box); stroke: var(--map-border); }}
.map .step {{ --role: var(--map-ink); }}
.map .step.sends {{ --role: var(--map-sends); }}
.map .step.waits {{ --role: var(--map-waits); }}
.map .step.divides {{ --role: var(--map-divides); }}
.map .step.repeats {{ --role: var(--map-repeats); }}
.map .step.ends {{ --role: var(--map-ends); }}
.map .tile {{ fill: color-mix(in srgb, var(--role) var(--map-tint), transparent); }}
.map .icon {{ fill: none; stroke: var(--role); stroke-width: 1.6; stroke-linecap: round; stroke-linejoin: round; }}
.map .step.added > .box {{ stroke: var(--map-good); stroke-width: 2; }}
.map .step.changed > .box {{ stroke: var(--map-warn); stroke-width: 2; }}
.map a.step:hover > .box, .map a.step:focus > .box {{ stroke: var(--role); stroke-width: 2; }}
.map a.step:focus {{ outline: none; }}
.map a.step:focus-visible > .box {{ stroke-width: 3; }}
.map .badge rect {{ fill: color-mix(in srgb, var(--badge) var(--map-tint), transparent); }}
.map .badge text {{ fill: var(--badge); }}
.map .badge {{ --badge: var(--map-soft); }}
.map .badge.waiting {{ --badge: var(--map-sends); }}
.map .badge.held, .map .badge.failed {{ --badge: var(--map-bad); }}
.map .badge.passed, .map .badge.added {{ --badge: var(--map-good); }}
.map .badge.paused, .map .badge.changed {{ --badge: var(--map-warn); }}
"""
"""Colours are custom properties, which a page may override; all rules are below the class ``map``."""
