# SPDX-License-Identifier: Apache-2.0
"""`slabtrace watch`: a service that keeps a recording going, judges it, and acts on what it finds.

service.py is the loop.  It never traces or analyses by itself: a recorder, a judgement (`slabtrace digest`),
a triggered recording and its report are processes, so the service's own memory stays what it is, and what
one of them does wrong cannot end it.  Data flows one way: measures and digests (conditions.py, judgement.py)
become fired triggers and findings (known.py), these become recordings and commands (triggered.py,
commands.py), and all of it numbers for Prometheus (exported.py) and a state file (state.py).
"""
