"""Cases do what they expect. `tests/e2e/test_cases.py` also runs each as a journey on a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cases.run import run
from scenario.steps.registry import KINDS
from tests.gateway.cases.conftest import AROUND, TOP, Read, differences

HOOK = """
- webhook: hook
  url: https://h.example/
  body: {}
  retry: {initial_interval: 10s, backoff_coefficient: 2, deadline: 1h}
"""
WAIT_FOR = """
- wait: 1d
- wait_for: came
  if: event.order == '1'
  for: 7d
  then: [{sms: here, text: "{{ event.by }}"}]
  else: [{sms: late, text: late}]
"""
SEVERAL = """
- wait: 1d
- wait_for:
    delivered: {if: event.order == '1', then: [{sms: arrived, text: "{{ event.by }}"}]}
    refused: {then: [{exit: refused}]}
    cancelled: {}
  for: 7d
  else: [{exit: late}]
- {sms: after, text: "{{ event.by }}"}
"""
PAST = """
- wait: {until: "{{ contact.custom.ends }}", offset: -30d, past: MODE}
- {sms: month, text: t}
- wait: {until: "{{ contact.custom.ends }}", offset: -7d, past: MODE}
- {sms: week, text: t}
- {if: "true", then: [{sms: inner, text: t}]}
- wait: {until: "{{ contact.custom.ends }}", offset: -1d, past: MODE}
- {sms: last, text: t}
"""
ROUNDS = """
- repeat: {every: 7d, times: 3, until: contact.custom.stop}
  steps: [{sms: hi, text: t}, {wait: 2d}]
- {sms: after, text: t}
"""
CASES = {
    "a round that is held when it is due begins when it is tried again, and the next so much later": (
        "- repeat: {every: 1d, times: 3, until: now > '2026-03-03' and contact.custom.n > 2}\n"
        "  steps: [{sms: hi, text: hi}]",
        """
        changes:
          - {after: 1h, contact: {custom: {n: x}}}
          - {after: 59h, contact: {custom: {n: 1}}}
        operations: [{after: 60h, retry: repeat-1}]
        expect:
          steps:
            - {sms: hi, at: "2026-03-02 09:00"}
            - {sms: hi, at: "2026-03-04 21:00"}
            - {sms: hi, at: "2026-03-05 21:00"}
        """,
    ),
    "attempts follow the retry policy": (
        HOOK,
        """
        answers: {hook: [{status: 503}, {error: connect_refused}, {status: 429, headers: {Retry-After: "300"}}]}
        expect:
          steps:
            - {webhook: hook, outcome: delivered, attempts: 4, at: "2026-03-02 09:05"}
        """,
    ),
    "a contact that moves while a retry is kept back is asked about again": (
        HOOK.replace("deadline: 1h", "deadline: 3d")
        .replace("10s", "40s")
        .replace("{}", "{who: '{{ contact.firstname }}'}")
        + "  window: {from: '09:00', to: '09:01'}\n",
        """
        changes: [{after: 2h, contact: {timezone: America/Sao_Paulo, firstname: Ann}}]
        answers: {hook: [{status: 503, times: 2}]}
        expect:
          steps:
            - {webhook: hook, outcome: delivered, attempts: 3, at: "2026-03-02 09:00", body: {who: Ann}}
        """,
    ),
    "the deadline holds": (
        HOOK,
        """
        answers: {hook: [{status: 503, times: always}]}
        expect:
          steps: [{webhook: hook, outcome: held, attempts: 9, status: 503, reason: h.example answered 503}]
          ends: held
        """,
    ),
    "attempts are counted": (
        HOOK.replace("deadline: 1h", "maximum_attempts: 2") + "  on_failure: continue\n- exit: done",
        """
        answers: {hook: [{status: 500, times: always}]}
        expect:
          steps:
            - {webhook: hook, outcome: failed, attempts: 2, reason: "h.example answered 500, after 2 attempts"}
          reason: done
        """,
    ),
    "a wrong key is tried for an hour": (
        HOOK.replace("deadline: 1h", "deadline: 1d") + "  on_failure: exit\n- exit: done",
        """
        answers: {hook: [{status: 401, times: always}]}
        expect:
          steps: [{webhook: hook, outcome: failed, reason: "h.example answered 401, still after an hour"}]
          ends: exited
          reason: step hook failed
        """,
    ),
    "an unknown outcome is sent again": (
        HOOK,
        """
        answers: {hook: [{error: read_timeout}]}
        expect: {steps: [{webhook: hook, outcome: delivered, attempts: 2}]}
        """,
    ),
    "unless the step says otherwise": (
        HOOK + "  on_unknown: continue",
        """
        answers: {hook: [{error: read_timeout}]}
        expect: {steps: [{webhook: hook, outcome: unknown, attempts: 1}], ends: finished}
        """,
    ),
    "an SMS of which nobody knows is held, and retried by an operator": (
        "- {sms: hi, text: hello}",
        """
        answers: {hi: [{error: timeout}]}
        operations: [{after: 1h, retry: hi}]
        expect: {steps: [{sms: hi, outcome: delivered, attempts: 1, at: "2026-03-02 10:00", text: hello}]}
        """,
    ),
    "a provider's replies": (
        "- {sms: hi, text: hello}",
        """
        answers: {hi: [{status: 429}, {status: 401}, {error: connect_failed}, {status: 400}]}
        expect: {steps: [{sms: hi, outcome: held, attempts: 4, reason: the provider answered 400}]}
        """,
    ),
    "a mail server's replies": (
        "- {email: hi, subject: hello, text: x}",
        """
        answers: {hi: [{status: 451}, {error: no_answer}, {error: login_refused}, {status: 550}]}
        expect:
          steps: [{email: hi, outcome: held, attempts: 4, status: 550, reason: the mail server answered 550}]
        """,
    ),
    "a contact without an address is passed over": (
        "- {email: hi, subject: hello, text: x}",
        """
        with: {contact: {email: null}}
        expect: {steps: [{email: hi, outcome: skipped, reason: the contact has no e-mail address}], ends: finished}
        """,
    ),
    "a template that fails holds the journey": (
        "- {email: hi, subject: hello, text: \"{{ contact.custom.x | date: '%Y' }}\"}",
        """
        with: {contact: {custom_fields: {x: [1]}}}
        expect: {steps: [{email: hi, outcome: held}], ends: held}
        """,
    ),
    "what a template aborts is not sent": (
        "- {sms: hi, text: \"{% abort 'not today' %}\"}",
        "expect: {steps: [], ends: finished, never: [hi, sms]}",
    ),
    "a response is kept": (
        "- {webhook: ask, url: 'https://h.example/', save: {as: r}}\n"
        "- {if: 'responses.r.score > 3', then: [{exit: well}]}\n",
        """
        answers: {ask: [{body: {score: 4}}]}
        expect: {reason: well}
        """,
    ),
    "one that is not JSON is not": (
        "- {webhook: ask, url: 'https://h.example/', save: {as: r}}\n"
        "- {if: 'responses.r.score > 3', then: [{exit: well}]}\n",
        """
        answers: {ask: [{body: thanks}]}
        expect:
          steps: [{webhook: ask, note: {contains: it is not JSON}}, {if: if-2, outcome: else}]
          ends: finished
        """,
    ),
    "events end the journey in a back-off": (
        HOOK,
        """
        answers: {hook: [{status: 503, times: always}]}
        events:
          - {after: 20m, name: stop, properties: {n: 1}}
          - {after: 30m, name: stop, properties: {n: 2}}
        expect:
          steps: [{webhook: hook, outcome: left, at: "2026-03-02 09:30:00"}]
          reason: event stop
        """,
    ),
    "an operator leaves it": (
        "- {wait: 2d}\n- {exit: late}",
        """
        operations: [{after: 3h, leave: asked by phone}]
        expect:
          steps: [{wait: wait-1, outcome: left, at: 2026-03-02 12:00}]
          reason: "left by an operator: asked by phone"
        """,
    ),
    "an operator skips a wait": (
        "- {wait: 2d}\n- {exit: done}",
        """
        operations: [{after: 1h, skip: wait-1}]
        expect: {steps: [{wait: wait-1, outcome: skipped}, {exit: exit-2, at: 2026-03-02 10:00}]}
        """,
    ),
    "a pause keeps the next step back": (
        "- {wait: 2h}\n- {sms: hi, text: hello}",
        """
        operations: [{after: 1h, pause: let us see}]
        expect: {steps: [{wait: wait-1, at: 2026-03-02 11:00}], ends: paused, never: [sms]}
        """,
    ),
    "who waits for ever waits": (
        "- {wait_for: stop}",
        "expect: {steps: [{wait_for: wait_for-1, outcome: waiting}], ends: waiting}",
    ),
    "what is sent again to a changed contact is rendered again": (
        "- {sms: hi, text: 'hello {{ contact.firstname }}'}",
        """
        answers: {hi: [{status: 400}]}
        changes: [{after: 1h, contact: {firstname: Zoé}}]
        operations: [{after: 2h, retry: hi}]
        expect: {steps: [{sms: hi, text: hello Zoé, note: "rendered again: the contact has changed"}]}
        """,
    ),
    "a repetition, each round with a delivery of its own": (
        "- repeat: {every: 7d, times: 3, until: {event: clicked}}\n  steps: [{sms: hi, text: '{{ today }}'}]",
        """
        answers: {hi: [{}, {status: 400}]}
        operations: [{after: 8d, skip: hi}]
        events: [{after: 9d, name: clicked}]
        expect:
          steps:
            - {repeat: repeat-1, outcome: round, at: 2026-03-02 09:00}
            - {sms: hi, outcome: delivered, text: {contains: 2026-03-02}}
            - {sms: hi, outcome: skipped, at: 2026-03-10 09:00, text: {contains: 2026-03-09}}
            - {repeat: repeat-1, outcome: event, at: 2026-03-11 09:00, reason: after 2 rounds}
          ends: finished
        """,
    ),
    "an event ends a repetition after the round in which it comes, and one from before does not": (
        "- wait: 1d\n"
        "- repeat: {every: 1d, times: 3, until: {event: clicked, if: event.n > 1}}\n"
        "  steps: [{sms: hi, text: hello}, {wait: 2h}]\n"
        "- {sms: after, text: '{{ event.n }}'}",
        """
        events:
          - {after: 1h, name: clicked, properties: {n: 2}}
          - {after: 26h, name: clicked, properties: {n: 1}}
          - {after: 49h, name: clicked, properties: {n: 3}}
        expect:
          steps:
            - {sms: hi, at: 2026-03-03 09:00}
            - {sms: hi, at: 2026-03-04 09:00}
            - {repeat: repeat-2, outcome: event, at: 2026-03-04 11:00, reason: after 2 rounds}
            - {sms: after, text: "3"}
        """,
    ),
    "a repetition that is held between two rounds asks again when it is tried again": (
        "- repeat: {every: 1d, times: 3, until: contact.custom.n > 2}\n  steps: [{sms: hi, text: hello}, {wait: 1h}]",
        """
        changes:
          - {after: 30m, contact: {custom: {n: x}}}
          - {after: 90m, contact: {custom: {n: 1}}}
          - {after: 24h30m, contact: {custom: {n: x}}}
          - {after: 26h, contact: {custom: {n: 3}}}
        operations: [{after: 2h, retry: repeat-1}, {after: 27h, retry: repeat-1}]
        expect:
          steps:
            - {sms: hi, at: 2026-03-02 09:00}
            - {sms: hi, at: 2026-03-03 09:00}
            - {repeat: repeat-1, outcome: until, at: 2026-03-03 12:00, reason: after 2 rounds}
        """,
    ),
    "after a round that takes longer the next one begins at once, and the one after that so much later": (
        "- repeat: {every: 1d, times: 3}\n  steps: [{sms: hi, text: hello}, {wait: 36h}]",
        """
        operations: [{after: 37h, skip: wait-1.round.2}]
        expect:
          steps:
            - {sms: hi, at: 2026-03-02 09:00}
            - {sms: hi, at: 2026-03-03 21:00}
            - {sms: hi, at: 2026-03-04 21:00}
        """,
    ),
    "the next round keeps its hour in the zone that the contact has by then": (
        # Clocks in Paris go forward in this night: a day there is an hour shorter than in Tokyo.
        "- repeat: {every: 1d, times: 3, until: contact.custom.stop}\n  steps: [{sms: hi, text: hello}]",
        """
        at: 2026-03-28T09:00
        changes: [{after: 1h, contact: {timezone: Asia/Tokyo}}]
        expect:
          steps:
            - {sms: hi, at: 2026-03-28 09:00}
            - {sms: hi, at: 2026-03-29 17:00}
            - {sms: hi, at: 2026-03-30 17:00}
        """,
    ),
    "what is over is told on the clock that the contact had then": (
        "- sms: first\n  text: t\n- wait: 2h\n- wait: {until: '20:00'}\n- sms: last\n  text: t",
        """
        changes: [{after: 1h, contact: {timezone: America/Los_Angeles}}]
        expect:
          steps:
            - {sms: first, at: 2026-03-02 09:00}
            - {wait: wait-2, at: 2026-03-02 02:00}
            - {sms: last, at: 2026-03-02 20:00}
        """,
    ),
    "a date that is missing holds the journey": (
        "- wait: {until: '{{ contact.custom.date }}'}\n- {sms: hi, text: hello}",
        """
        expect: {steps: [{wait: wait-1, outcome: held, reason: the date to wait for is missing}], ends: held}
        """,
    ),
    "a step behind a wait that is skipped for want of a date is taken": (
        "- wait: {until: '{{ contact.custom.date }}'}\n- {sms: hi, text: hello}",
        """
        operations: [{after: 1h, skip: wait-1}]
        expect: {steps: [{wait: wait-1, outcome: skipped}, {sms: hi, at: 2026-03-02 10:00}], ends: finished}
        """,
    ),
    "a wait ends on the clock that the contact has by then": (
        "- wait: {until: '10:00'}\n- wait: {until: 2026-03-05T10:00}",
        """
        changes:
          - {after: 30m, contact: {timezone: America/New_York}}
          - {after: 2d, contact: {timezone: Asia/Tokyo}}
        expect: {steps: [{wait: wait-1, at: 2026-03-02 10:00}, {wait: wait-2, at: 2026-03-05 10:00}]}
        """,
    ),
    "a zone that cannot be used is the scenario's, and an offset is one": (
        "- wait: {until: '10:00'}\n- wait: {until: '12:00'}",
        """
        with: {contact: {timezone: Mars/Olympus}}
        changes: [{after: 2h, contact: {timezone: 'UTC-3:30'}}]
        expect: {steps: [{wait: wait-1, at: 2026-03-02 10:00}, {wait: wait-2, at: 2026-03-02 12:00}]}
        """,
    ),
    "a failure that is passed over keeps its remark": (
        "- {sms: hi, text: 'hello {{ contact.firstname }}', on_failure: continue}",
        """
        answers: {hi: [{error: timeout}, {status: 400}]}
        changes: [{after: 1h, contact: {firstname: Zoé}}]
        operations: [{after: 2h, retry: hi}]
        expect: {steps: [{sms: hi, outcome: failed, note: "rendered again: the contact has changed"}], ends: finished}
        """,
    ),
    "a switch compares text, numbers and truth, and is held without a value": (
        """
        - switch: contact.language | downcase
          cases: {fr: [{sms: bonjour, text: hi}], de: [{exit: no}]}
        - switch: contact.custom.price
          cases: {7: [{exit: no}], 66.250: [{sms: dear, text: hi}]}
          else: [{exit: no}]
        - switch: contact.custom.vip
          cases: {true: [{sms: vip, text: hi}], "yes": [{exit: no}]}
        - switch: contact.custom.colour
          cases: {red: [{exit: no}]}
          else: [{sms: other, text: hi}]
        - switch: contact.firstname | number
          cases: {3: [{exit: no}]}
          else: [{exit: skipped}]
        """,
        """
        with: {contact: {language: FR, firstname: Zoé, custom: {vip: true, price: 66.25}}}
        operations: [{after: 1h, retry: switch-5}, {after: 2h, skip: switch-5}]
        expect:
          steps:
            - {switch: switch-1, outcome: case, way: fr}
            - {sms: bonjour}
            - {switch: switch-2, outcome: case, way: "66.250"}
            - {sms: dear}
            - {switch: switch-3, outcome: case, way: "true"}
            - {sms: vip}
            - {switch: switch-4, outcome: else}
            - {sms: other}
            - {switch: switch-5, outcome: skipped}
          reason: skipped
        """,
    ),
    "a value that cannot be worked out is the reason": (
        "- {switch: contact.firstname | number, cases: {3: [{exit: no}]}}",
        """
        with: {contact: {firstname: Zoé}}
        expect:
          steps: [{switch: switch-1, outcome: held, reason: {contains: "the value cannot be worked out: "}}]
          ends: held
        """,
    ),
    "the unit of a split is the contact, the journey or what a template prints": (
        """
        - split: {a: 50, b: 50}
          id: tone
        - split: {a: 50, b: 50}
          by: journey
          id: lane
        - split: {a: 50, b: 50}
          by: "{{ contact.custom.price }}"
          id: price
        - split: {a: 50, b: 50}
          by: "{{ contact.custom.store }}"
          id: store
          branches: {a: [{exit: first}], b: [{exit: second}]}
        """,
        """
        with: {contact: {custom: {price: 66.250}}}
        changes: [{after: 1h, contact: {custom: {store: 12}}}]
        operations: [{after: 2h, retry: store}]
        expect:
          steps:
            - {split: tone, outcome: b, note: "b (0.6277 of 1, by contact)"}
            - {split: lane, note: "a (0.2573 of 1, by journey)"}
            - {split: price, outcome: b, note: {contains: b (0.9224}}
            - {split: store, outcome: a, at: 2026-03-02 11:00}
          ends: exited
        """,
    ),
    "a split by nothing is held, and the branches are behind it": (
        "- {split: {a: 50, b: 50}, by: '{{ contact.custom.store }}', branches: {a: [{exit: no}], b: [{exit: no}]}}",
        """
        expect: {steps: [{split: split-1, outcome: held, reason: what it is drawn by is blank}], ends: held}
        """,
    ),
    "who skips a split passes all its branches": (
        "- {split: {a: 50, b: 50}, by: '{{ contact.custom.store }}', branches: {a: [{exit: no}], b: [{exit: no}]}}",
        """
        operations: [{after: 1h, skip: split-1}]
        expect: {steps: [{split: split-1, outcome: skipped}], ends: finished}
        """,
    ),
    "an event that came earlier in the journey counts": (
        WAIT_FOR,
        """
        events: [{after: 1h, name: came, properties: {order: "1", by: Post}}]
        expect:
          steps: [{wait_for: wait_for-2, outcome: event, at: 2026-03-03 09:00}, {sms: here, text: Post}]
        """,
    ),
    "unless only what is to come counts": (
        WAIT_FOR + "  since: now\n",
        """
        events: [{after: 1h, name: came, properties: {order: "1"}}]
        expect: {steps: [{wait_for: wait_for-2, outcome: timeout, at: 2026-03-10 09:00}, {sms: late}]}
        """,
    ),
    "an event whose condition does not hold is not the one": (
        WAIT_FOR,
        """
        events: [{after: 2d, name: came, properties: {order: "2"}}, {after: 4d, name: came, properties: {order: "1"}}]
        expect: {steps: [{wait_for: wait_for-2, outcome: event, at: 2026-03-06 09:00}, {sms: here}]}
        """,
    ),
    "of several events the first that counts opens its way": (
        SEVERAL,
        """
        events:
          - {after: 1h, name: delivered, properties: {order: "2"}}
          - {after: 2h, name: cancelled}
          - {after: 3h, name: refused}
        expect:
          steps: [{wait_for: wait_for-2, outcome: event, way: cancelled, at: 2026-03-03 09:00}, {sms: after}]
        """,
    ),
    "of several events one that comes during the wait ends it": (
        SEVERAL,
        """
        events:
          - {after: 2d, name: delivered, properties: {order: "2"}}
          - {after: 3d, name: delivered, properties: {order: "1", by: Post}}
        expect:
          steps:
            - {wait_for: wait_for-2, outcome: event, way: delivered, at: 2026-03-05 09:00}
            - {sms: arrived, text: Post}
            - {sms: after}
        """,
    ),
    "without any of several events the time is over": (
        SEVERAL,
        "expect: {steps: [{wait_for: wait_for-2, outcome: timeout, at: 2026-03-10 09:00}], reason: late}",
    ),
    "who skips a wait for several events goes the way of a timeout": (
        SEVERAL,
        """
        operations: [{after: 2d, skip: wait_for-2}]
        expect: {steps: [{wait_for: wait_for-2, outcome: skipped, at: 2026-03-04 09:00}], reason: late}
        """,
    ),
    "a repetition whose condition holds has no round": (
        ROUNDS,
        """
        with: {contact: {custom: {stop: true}}}
        expect: {steps: [{repeat: repeat-1, outcome: until, reason: after 0 rounds}, {sms: after}]}
        """,
    ),
    "a change between two rounds ends a repetition at once": (
        ROUNDS,
        """
        changes: [{after: 10d, contact: {custom: {stop: true}}}]
        expect:
          steps:
            - {sms: hi}
            - {sms: hi}
            - {repeat: repeat-1, outcome: until, reason: after 2 rounds, at: 2026-03-12 09:00}
            - {sms: after}
        """,
    ),
    "an exit rule acts between rounds": (
        ROUNDS,
        """
        events: [{after: 10d, name: stop, properties: {n: 2}}]
        expect: {steps: [{sms: hi}, {sms: hi}, {repeat: repeat-1, outcome: left}], reason: event stop}
        """,
    ),
    "who skips a repetition skips the rounds to come": (
        ROUNDS,
        """
        operations: [{after: 3d, skip: repeat-1}]
        expect: {steps: [{sms: hi}, {repeat: repeat-1, outcome: skipped}, {sms: after, at: 2026-03-05 09:00}]}
        """,
    ),
    "a repetition whose condition cannot be evaluated is held": (
        "- {repeat: {every: 7d, times: 3, until: contact.custom.n > 2}, steps: [{sms: hi, text: t}]}",
        """
        with: {contact: {custom: {n: x}}}
        expect:
          steps: [{repeat: repeat-1, outcome: held, reason: {contains: "the condition cannot be evaluated: "}}]
          ends: held
        """,
    ),
    "rounds in rounds": (
        """
        - repeat: {every: 1d, times: 2}
          steps: [{repeat: {every: 1h, times: 2}, steps: [{sms: hi, text: t}]}]
        """,
        """
        expect:
          steps:
            - {sms: hi, at: 2026-03-02 09:00}
            - {sms: hi, at: 2026-03-02 10:00}
            - {repeat: repeat-1.round.1, outcome: ended, reason: after 2 rounds}
            - {sms: hi, at: 2026-03-03 09:00}
            - {sms: hi, at: 2026-03-03 10:00}
            - {repeat: repeat-1, outcome: ended, reason: after 2 rounds}
        """,
    ),
    "a response that lacks a field leads the other way": (
        "- {webhook: ask, url: 'https://h.example/', save: {as: r}}\n"
        "- if: responses.r.tier == 'gold'\n  then: [{sms: gold, text: t}]\n"
        "  else: [{sms: other, text: '{{ responses.r.name }}'}]\n",
        """
        answers: {ask: [{body: {tier: none, name: Zoé}}]}
        expect: {steps: [{webhook: ask}, {if: if-2, outcome: else}, {sms: other, text: Zoé}]}
        """,
    ),
    "a message to a contact that moved is rendered on its new clock": (
        "- {sms: hi, text: \"{{ '2026-07-02T12:30:00Z' | date: '%H:%M %Z' }}\"}",
        """
        answers: {hi: [{status: 400}]}
        changes: [{after: 1h, contact: {timezone: Asia/Tokyo}}]
        operations: [{after: 2h, retry: hi}]
        expect: {steps: [{sms: hi, text: "21:30 JST", note: "rendered again: the contact has changed"}]}
        """,
    ),
    "steps behind waits for past dates are skipped": (
        PAST.replace("MODE", "skip"),
        """
        with: {contact: {custom: {ends: 2026-03-22}}}
        expect:
          steps:
            - {wait: wait-1, reason: {contains: "is past: "}}
            - {sms: week}
            - {sms: inner}
            - {sms: last, at: 2026-03-21 00:00}
        """,
    ),
    "behind the last wait for a past date the rest of its list is skipped": (
        "- if: 'true'\n  then:" + PAST.replace("MODE", "skip").replace("\n", "\n    ") + "\n- {sms: after, text: t}",
        """
        with: {contact: {custom: {ends: 2026-03-01}}}
        expect: {steps: [{if: if-1}, {sms: after, at: 2026-03-02 09:00}], never: [month, week, inner, last]}
        """,
    ),
    "waits for past dates end at once": (
        PAST.replace("MODE", "continue"),
        """
        with: {contact: {custom: {ends: 2026-03-01}}}
        expect: {steps: [{sms: month}, {sms: week}, {sms: inner}, {sms: last, at: 2026-03-02 09:00}]}
        """,
    ),
    "a past date ends the journey": (
        PAST.replace("MODE", "exit"),
        """
        with: {contact: {custom: {ends: 2026-03-22}}}
        expect: {steps: [], ends: exited, reason: the date of step wait-1 is past}
        """,
    ),
}
DATED = "{until: '{{ contact.custom.date }}', offset: OFFSET}"
HEAD = "trigger: birthday\nexit: [{event: stop, if: event.n == 2}]\n"


@pytest.mark.parametrize("name", CASES)
def test_all_is_as_expected(reading: Read, name: str) -> None:
    steps, case = CASES[name]
    cases, findings = reading(steps, case, head=HEAD)
    assert cases is not None, findings
    assert differences(cases) == {"one": []}


def test_every_kind_of_step_has_a_case() -> None:
    written = " ".join(steps for steps, _ in CASES.values())
    assert [kind for kind in KINDS if f"{kind}:" not in written] == []


@pytest.mark.parametrize(
    ("wait", "contact", "start", "end"),
    [
        # A Tuesday in Tokyo is a Tuesday there, while it is still Monday in Paris.
        ("{until: '08:00', on: [tue]}", "{timezone: Asia/Tokyo}", "2027-03-01T23:30", "Tue 2027-03-02 08:00 JST"),
        # Dates of the contact, across a change of the clocks, and one that is past.
        (DATED.replace("OFFSET", "-3d"), "{custom: {date: '2027-03-29 09:00:00'}}", "2027-03-01T12:00",
         "Fri 2027-03-26 09:00 CET"),
        (DATED.replace("OFFSET", "0s"), "{custom: {date: '2026-03-29 09:00:00'}}", "2027-03-01T12:00",
         "Mon 2027-03-01 12:00 CET"),
        # Dates of the scenario.
        ("{until: 2027-03-27}", "{}", "2027-03-26T12:00", "Sat 2027-03-27 00:00 CET"),
        ("{until: 2027-03-31T09:00, offset: -2d}", "{}", "2027-03-26T12:00", "Mon 2027-03-29 09:00 CEST"),
        ("{until: 2027-03-29T09:00:30+01:00}", "{}", "2027-03-26T12:00", "Mon 2027-03-29 10:00 CEST"),
        ("0s", "{}", "2027-03-26T12:00", "Fri 2027-03-26 12:00 CET"),
        ("33d", "{}", "2027-03-26T12:00", "Wed 2027-04-28 13:00 CEST"),
    ],
)  # fmt: skip
def test_a_wait_ends_at_a_local_time(reading: Read, wait: str, contact: str, start: str, end: str) -> None:
    cases, findings = reading(
        f"- wait: {wait}", f"with: {{contact: {contact}}}\nat: {start}\nexpect: {{ends: finished}}"
    )
    assert cases is not None, findings
    (waited,) = run(cases, "one", AROUND).steps
    assert (waited.outcome, f"{waited.at:%a %Y-%m-%d %H:%M %Z}") == ("waited", end)


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        ("{after: 1h, retry: wait-1}", "nothing to retry: the journey is not held"),
        ("{after: 1h, resume: x}", "the journey is not paused"),
        ("{after: 1h, skip: exit-2}", "the journey is not at step 'exit-2', but at 'wait-1'"),
        ("{after: 5d, leave: x}", "the journey is over"),
        ("{at: 2026-03-02T08:59, leave: x}", "this is before the contact comes in"),
    ],
)
def test_an_operation_that_is_not_accepted_fails_the_case(reading: Read, operation: str, why: str) -> None:
    cases, _ = reading("- {wait: 2d}\n- {exit: done}", f"operations: [{operation}]\nexpect: {{ends: exited}}")
    assert cases is not None
    (found,) = differences(cases)["one"]
    assert (found.place, found.got) == (("operations", 0), why)


def test_a_delivery_without_an_end_is_told(reading: Read) -> None:
    steps = HOOK.replace("10s", "0.1s").replace("2, deadline: 1h", "1, deadline: 9d")
    cases, _ = reading(steps, "answers: {hook: [{status: 503, times: always}]}\nexpect: {ends: held}")
    assert cases is not None
    (found,) = differences(cases)["one"]
    assert found.got.startswith("step 'hook' is attempted more than 10,000 times")


def test_what_expires_between_two_attempts_gives_its_place_back(reading: Read, tmp_path: Path) -> None:
    (tmp_path / "policies.yaml").write_text("caps: [{name: one, channels: [webhook], at_most: 1, per: 7d}]\n", "utf-8")
    cases, _ = reading(
        HOOK.rstrip() + "\n  expires: 5m\n" + HOOK.strip().replace(": hook", ": second"),
        """
        answers: {hook: [{status: 503, times: always}]}
        expect:
          steps:
            - {webhook: hook, outcome: skipped, reason: {contains: expired}}
            - {webhook: second, outcome: delivered}
        """,
        top="policies: policies.yaml\n" + TOP.strip(),
    )
    assert cases is not None
    assert differences(cases) == {"one": []}


def test_a_malformed_entry_is_told(reading: Read) -> None:
    cases, _ = reading(HOOK, "with: {contact: {id: null}}\nexpect: {ends: held}")
    assert cases is not None
    (found,) = differences(cases)["one"]
    assert found.got.startswith("the contact has no id")
