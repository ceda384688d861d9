# SPDX-License-Identifier: Apache-2.0
"""The context of stacks as kernels of two architectures have them; of what is cut or unknown, nothing."""

from __future__ import annotations

import pytest

from slabtrace.analysis.names.context import (
    KINDS,
    Context,
    accidental,
    agreed,
    context_of,
    inside,
    kind_of,
)

SYSCALL = "do_msgsnd __x64_sys_msgsnd do_syscall_64 entry_SYSCALL_64_after_hwframe"
IRQ = "__irq_exit_rcu common_interrupt asm_common_interrupt"
THREAD = "kthread ret_from_fork ret_from_fork_asm"
IDLE = "default_idle do_idle cpu_startup_entry start_secondary common_startup_64"


def stack(text: str) -> list[str]:
    return [each if "[" in each or each.startswith("0x") else f"{each}+0x1a" for each in text.split()]


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (SYSCALL, "task"),
        ("do_msgsnd __arm64_sys_msgsnd invoke_syscall do_el0_svc el0_svc el0t_64_sync", "task"),
        ("f __do_sys_brk.isra.0", "task"),
        ("f do_user_addr_fault exc_page_fault asm_exc_page_fault", "task"),
        (f"__alloc_skb icmp_rcv net_rx_action handle_softirqs {IRQ} {IDLE}", "softirq NET_RX"),
        ("__alloc_skb_noprof net_rx_action.isra.0 __do_softirq do_softirq __local_bh_enable_ip ip_output "
         f"{SYSCALL}", "softirq NET_RX"),
        ("f net_rx_action __do_softirq ____do_softirq call_on_irq_stack el1_interrupt el1h_64_irq_handler "
         "el1h_64_irq", "softirq NET_RX"),
        (f"blk_update_request blk_done_softirq handle_softirqs run_ksoftirqd smpboot_thread_fn {THREAD}",
         "softirq BLOCK"),
        (f"f handle_softirqs {IRQ}", "softirq"),
        ("f my_tasklet tasklet_action_common tasklet_action handle_softirqs", "tasklet my_tasklet"),
        ("f neigh_timer_handler call_timer_fn __run_timers run_timer_softirq handle_softirqs",
         "timer neigh_timer_handler"),
        ("f my_timer expire_timers run_timer_softirq", "timer my_timer"),
        ("f tick_sched_timer __hrtimer_run_queues hrtimer_interrupt __sysvec_apic_timer_interrupt "
         "sysvec_apic_timer_interrupt asm_sysvec_apic_timer_interrupt", "timer tick_sched_timer"),
        ("f i_callback rcu_do_batch rcu_core handle_softirqs", "RCU callback i_callback"),
        (f"f i_callback rcu_do_batch nocb_cb_wait rcu_nocb_cb_kthread {THREAD}", "RCU callback i_callback"),
        (f"f my_cb srcu_invoke_callbacks process_one_work worker_thread {THREAD}", "RCU callback my_cb"),
        ("kmem_cache_free rcu_do_batch rcu_core", "RCU callback"),  # a tail call: the callback is not known
        ("rcu_do_batch rcu_core handle_softirqs", "RCU callback"),
        (f"f wb_workfn process_one_work worker_thread {THREAD}", "work item wb_workfn"),
        (f"f wb_workfn.cold process_one_work.constprop.0 worker_thread {THREAD}", "work item wb_workfn"),
        (f"f virtblk_done vring_interrupt __handle_irq_event_percpu handle_irq_event {IRQ}",
         "hardirq vring_interrupt"),
        ("f sysvec_call_function_single asm_sysvec_call_function_single", "hardirq call_function_single"),
        ("f gic_handle_irq call_on_irq_stack", "hardirq"),
        ("f exc_nmi asm_exc_nmi", "hardirq NMI"),
        (f"f nvme_irq_thread irq_thread_fn irq_thread {THREAD}", "irq thread nvme_irq_thread"),
        (f"f shrink_node kswapd {THREAD}", "kernel thread kswapd"),
        (f"f worker_thread {THREAD}", "kernel thread"),
        (f"f my_work kthread_worker_fn {THREAD}", "work item my_work"),
    ],
)  # fmt: skip
def test_contexts(frames: str, expected: str) -> None:
    found = context_of(stack(frames))
    assert str(found) == expected and found.kind in KINDS
    assert kind_of(expected) == found.kind


@pytest.mark.parametrize(
    "frames",
    ["", "f", "f g h", "0xffffffff81000000 0xffffffff81000001", "f asm_exc_page_fault copy_user cut_here",
     "f sys_imageblit drm_fb", "net_rx_action+0x1 [mine]", "do_idle cpu_startup_entry start_secondary"],
)  # fmt: skip
def test_what_no_function_says_is_not_known(frames: str) -> None:
    assert context_of(stack(frames)) == Context("", "") and str(context_of(stack(frames))) == ""


def test_an_address_without_a_symbol_names_nothing() -> None:
    assert str(context_of(stack("f 0xffffffffc0000000 process_one_work"))) == "work item"


def test_the_frames_inside_a_context() -> None:
    assert inside(stack(f"f {SYSCALL}")) == stack("f do_msgsnd __x64_sys_msgsnd")
    assert inside(stack("a b net_rx_action handle_softirqs")) == stack("a b")
    assert inside(stack("rcu_do_batch rcu_core")) == stack("rcu_do_batch")
    assert inside(stack("f g")) == stack("f g") and inside([]) == []


def test_where_the_task_is_there_by_accident() -> None:
    contexts = ("softirq NET_RX", "hardirq", "timer f", "tasklet f", "RCU callback f", "work item f")
    assert all(accidental(each) for each in contexts)
    assert not any(
        accidental(each) for each in ("", "task", "kernel thread kswapd", "irq thread f", "timerx")
    )


@pytest.mark.parametrize(
    ("contexts", "expected"),
    [
        (["task", "task"], "task"),
        (["softirq NET_RX", "softirq NET_RX"], "softirq NET_RX"),
        (["softirq NET_RX", "softirq BLOCK"], "softirq"),
        (["task", "softirq NET_RX"], ""),
        (["task", ""], ""),
    ],
)
def test_what_contexts_have_in_common(contexts: list[str], expected: str) -> None:
    assert agreed(contexts) == expected
