# SPDX-License-Identifier: Apache-2.0
"""How a reading command answers: with one JSON object, or with text that ends with the verdict.

A command opens a trace, makes a table, and hands both to `answer`; `answer_options` are the options
that say how the answer is wanted.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO, TypeVar, cast

from slabtrace.cli.options import json_option, limit_option

if TYPE_CHECKING:
    import pandas as pd

    from slabtrace.analysis.trust.completeness import Completeness
    from slabtrace.api import Trace
    from slabtrace.columns import Table

F = TypeVar("F", bound=Callable[..., Any])


class Form(NamedTuple):
    """How the answer is wanted.  `most`: rows to show; None shows all."""

    as_json: bool
    most: int | None = None


class Rows(NamedTuple):
    """The rows of an answer, which table they are of, and what text calls one."""

    table: Table
    frame: pd.DataFrame
    noun: str = "row"


def answer_options(limit: int | None = None) -> Callable[[F], F]:
    """`--json` and, where there is a `limit` (rows that text shows by default), `-l`: as `form`, a Form."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def command(*args: Any, as_json: bool, **options: Any) -> Any:
            given = options.pop("limit", None)
            default = None if as_json or limit is None else limit
            form = Form(as_json, default if given is None else given or None)
            return function(*args, form=form, **options)

        result = json_option(command)
        return cast("F", result if limit is None else limit_option(limit)(result))

    return decorate


def answer(
    form: Form,
    schema: str,
    path: str,
    trace: Trace,
    rows: Rows,
    write: Callable[[TextIO, pd.DataFrame], None],
    more: Mapping[str, Any] | None = None,
    notes: Callable[[TextIO], None] | None = None,
    verdict: Callable[[TextIO, str, Completeness, Sequence[str]], None] | None = None,
) -> None:
    """Write `rows` of `trace` to stdout, as `form` says.

    `schema`: the name in JSON, as "leaks"; `path`: the trace's, as the user typed it; `more`: what JSON has
    before the rows.  `write` writes as text the rows to be shown, `notes` what follows them, `verdict` the
    end (default: write_verdict).
    """
    from slabtrace.render import json
    from slabtrace.render.terminal.text import write_more
    from slabtrace.render.terminal.verdict import write_verdict

    shown = rows.frame if form.most is None else rows.frame.head(form.most)
    completeness, out = trace.completeness(), sys.stdout
    if form.as_json:
        head = json.document(schema, path, completeness, trace.damage)
        listed = {rows.table.json_list: json.rows(shown, rows.table)}
        json.write({**head, **json.plain(more or {}), **listed}, out)
        return
    write(out, shown)
    write_more(out, len(rows.frame) - len(shown), rows.noun)
    if notes is not None:
        notes(out)
    (verdict or write_verdict)(out, path, completeness, trace.damage)
