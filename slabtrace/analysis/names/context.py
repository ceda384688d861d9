# SPDX-License-Identifier: Apache-2.0
"""In which context a stack ran: a task's system call, a softirq, a work item, a timer, an RCU callback, …

The inner-most context counts, because it is the one that allocates: a packet that is received while a task
is interrupted is not that task's.  `MARKS` has the functions by which contexts are known.  Names that differ
by compiler or architecture are folded (frames.py).  A stack without any of them gives "": not known.

Example, innermost first: `__alloc_skb, icmp_reply, icmp_rcv, ip_rcv, net_rx_action, handle_softirqs,
__irq_exit_rcu, common_interrupt, do_idle` ran in "softirq NET_RX", whatever task it interrupted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from slabtrace.analysis.names.frames import NO_SYMBOL, comparable_function, module_of, system_call

TASK, SOFTIRQ, HARDIRQ = "task", "softirq", "hardirq"
TIMER, TASKLET, RCU, WORK = "timer", "tasklet", "RCU callback", "work item"
KTHREAD, IRQ_THREAD = "kernel thread", "irq thread"
KINDS = (TASK, SOFTIRQ, HARDIRQ, TIMER, TASKLET, RCU, WORK, KTHREAD, IRQ_THREAD)
INTERRUPTS = frozenset({SOFTIRQ, HARDIRQ, TIMER, TASKLET, RCU})  # they run on whatever task is there
ACCIDENTAL = INTERRUPTS | {WORK}  # the running task did not ask for what was done

CALLED = "*"  # the name is that of the function that this one called


class Context(NamedTuple):
    """`kind`: one of KINDS, "" if it is not known.  `name`: which one, "" if that is not known or needed."""

    kind: str = ""
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" if self.name else self.kind


NOT_KNOWN = Context()

MARKS: dict[str, Context] = {
    # kernel/workqueue.c.  BH work items (6.9, 4cb1ef64609f) pass process_one_work as well.
    "process_one_work": Context(WORK, CALLED),
    # kernel/kthread.c: kthread_work
    "kthread_worker_fn": Context(WORK, CALLED),
    # kernel/rcu/tree.c, also where callbacks are offloaded to kernel threads; srcutree.c, tasks.h
    "rcu_do_batch": Context(RCU, CALLED),
    "srcu_invoke_callbacks": Context(RCU, CALLED),
    "rcu_tasks_invoke_cbs": Context(RCU, CALLED),
    # kernel/time/timer.c: which of these are inlined differs
    "call_timer_fn": Context(TIMER, CALLED),
    "expire_timers": Context(TIMER, CALLED),
    "__run_timers": Context(TIMER, CALLED),
    # kernel/time/hrtimer.c: in the interrupt, or in its softirq
    "__run_hrtimer": Context(TIMER, CALLED),
    "__hrtimer_run_queues": Context(TIMER, CALLED),
    # kernel/softirq.c: tasklets, and the function of each softirq (open_softirq)
    "tasklet_action_common": Context(TASKLET, CALLED),
    "tasklet_action": Context(SOFTIRQ, "TASKLET"),
    "tasklet_hi_action": Context(SOFTIRQ, "HI"),
    "net_rx_action": Context(SOFTIRQ, "NET_RX"),
    "net_tx_action": Context(SOFTIRQ, "NET_TX"),
    "run_timer_softirq": Context(SOFTIRQ, "TIMER"),
    "hrtimer_run_softirq": Context(SOFTIRQ, "HRTIMER"),
    "blk_done_softirq": Context(SOFTIRQ, "BLOCK"),
    "irq_poll_softirq": Context(SOFTIRQ, "IRQ_POLL"),
    "run_rebalance_domains": Context(SOFTIRQ, "SCHED"),
    "sched_balance_softirq": Context(SOFTIRQ, "SCHED"),  # its name since 6.10 (70a27d6d1b19)
    "rcu_core_si": Context(SOFTIRQ, "RCU"),
    "handle_softirqs": Context(SOFTIRQ),
    "__do_softirq": Context(SOFTIRQ),
    # kernel/irq/handle.c, kernel/irq_work.c, kernel/smp.c: handlers in the hard interrupt
    "__handle_irq_event_percpu": Context(HARDIRQ, CALLED),
    "irq_work_single": Context(HARDIRQ, CALLED),
    "csd_do_func": Context(HARDIRQ, CALLED),
    "hrtimer_interrupt": Context(HARDIRQ, "hrtimer_interrupt"),
    # entry of a hard interrupt: arch/x86/kernel/irq.c, nmi.c; arch/arm64/kernel/entry-common.c, entry.S
    "common_interrupt": Context(HARDIRQ),
    "asm_common_interrupt": Context(HARDIRQ),
    "exc_nmi": Context(HARDIRQ, "NMI"),
    "asm_exc_nmi": Context(HARDIRQ, "NMI"),
    "el1_interrupt": Context(HARDIRQ),
    "el0_interrupt": Context(HARDIRQ),
    "gic_handle_irq": Context(HARDIRQ),
    "el1h_64_irq": Context(HARDIRQ),
    "el0t_64_irq": Context(HARDIRQ),
    # kernel/irq/manage.c: threaded handlers
    "irq_thread_fn": Context(IRQ_THREAD, CALLED),
    "irq_forced_thread_fn": Context(IRQ_THREAD, CALLED),
    # kernel/smpboot.c, kernel/kthread.c
    "smpboot_thread_fn": Context(KTHREAD, CALLED),
    "kthread": Context(KTHREAD, CALLED),
    # entry of a system call: arch/x86/entry, arch/arm64/kernel/syscall.c and entry-common.c
    "do_syscall_64": Context(TASK),
    "do_int80_emulation": Context(TASK),
    "do_fast_syscall_32": Context(TASK),
    "entry_SYSCALL_64_after_hwframe": Context(TASK),
    "invoke_syscall": Context(TASK),
    "do_el0_svc": Context(TASK),
    "el0_svc": Context(TASK),
    "el0t_64_sync": Context(TASK),
}

# A page fault of user space has no frame below (arch/x86/entry; on arm64 el0t_64_sync is below).
USER_FAULT = "asm_exc_page_fault"
# asm_sysvec_apic_timer_interrupt and the like (x86, DEFINE_IDTENTRY_SYSVEC)
_VECTOR = re.compile(r"^(?:asm_)?sysvec_(\w+)$")
# What a function calls last may have taken its frame (a tail call): no callback has one of these names.
_NO_NAMES = re.compile(
    r"^(?:kv?free|kfree_sensitive|kmem_cache_\w+|__k?free_slab|__kmalloc\w*|kmalloc\w*|_*raw_\w+|schedule"
    r"|do_exit|kthread_exit|worker_thread)$"
)


def context_of(frames: Sequence[str]) -> Context:
    """The context of a stack: symbols as `function+0x1a [module]`, innermost first."""
    at, mark = _marked(frames)
    if mark.name == CALLED:
        return mark._replace(name=_named(comparable_function(frames[at - 1])) if at else "")
    return mark


def inside(frames: Sequence[str]) -> Sequence[str]:
    """The frames of what the context of a stack was entered for, its system call included; one at least."""
    at, _ = _marked(frames)
    own = at < len(frames) and system_call(frames[at])
    return frames[: max(at + bool(own), 1)]


def kind_of(context: str) -> str:
    """The kind of a context that was written as text: one of KINDS, or ""."""
    return next((kind for kind in KINDS if context == kind or context.startswith(f"{kind} ")), "")


def accidental(context: str) -> bool:
    """Whether the task that ran in a context, written as text, did not ask for what was done there."""
    return kind_of(context) in ACCIDENTAL


def agreed(contexts: Iterable[str]) -> str:
    """What several contexts, written as text, have in common: all, or the kind; "" if not even that."""
    different = set(contexts)
    if len(different) == 1:
        return different.pop()
    kinds = {kind_of(each) for each in different}
    return kinds.pop() if len(kinds) == 1 else ""


def _marked(frames: Sequence[str]) -> tuple[int, Context]:
    """The first frame that is the mark of a context, and what it marks; else all, and what is known then."""
    for at, symbol in enumerate(frames):
        if (mark := _mark(symbol)) is not None:
            return at, mark
    by_user = len(frames) > 0 and comparable_function(frames[-1]) == USER_FAULT
    return len(frames), Context(TASK) if by_user else NOT_KNOWN


@lru_cache(1 << 14)  # the same few frames end nearly all stacks
def _mark(symbol: str) -> Context | None:
    """What a function of the kernel itself says of the context; None: nothing."""
    name = comparable_function(symbol)
    if module_of(symbol):  # a module may use the same names
        return None
    if name in MARKS:
        return MARKS[name]
    if match := _VECTOR.match(name):
        return Context(HARDIRQ, match[1])
    return Context(TASK) if system_call(symbol) else None


def _named(function: str) -> str:
    """The name of a callback, "" if the frame before is not that of one."""
    known = function not in ("", NO_SYMBOL) and function not in MARKS and not _NO_NAMES.match(function)
    return function if known else ""
