/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Which events get a stack, where not all do (--stacks auto).
 *
 * A stack costs ten times the rest of an event, and most stacks repeat.  So each call site has a budget
 * on each CPU and in each window of time.  Up to about BUDGET events all get a stack; beyond that one
 * in 2^shift does, chosen at random, and shift follows the rate.  Rare call sites have all their
 * stacks, and so have the first events of every call site.  Choosing every n-th event would not be fair:
 * events of one call site often alternate between two stacks.
 *
 * So the stacks are a random sample of what was allocated at the call site at that time, whether the
 * objects were freed later or not.
 */
#pragma once

#define STACK_NOT_TAKEN (-2) /* no error of bpf_get_stackid */

#ifdef STACKS_AUTO
#define BUDGET	     64
#define WINDOW_SHIFT 27	  /* 134 ms */
#define BUDGETS	     8192 /* per CPU; a call site may use one of two */
#define MAX_SHIFT    16

struct stack_budget {
	u64 call_site;
	u32 window;
	u16 taken;
	u16 shift;
};

BPF_F_TABLE("array", u32, struct stack_budget, stack_budgets, NR_CPUS *BUDGETS, 0);

static __always_inline void budget_begin(struct stack_budget *budget, u64 call_site, u32 window)
{
	if (budget->call_site != call_site) {
		budget->call_site = call_site;
		budget->shift = 0;
	} else if (window - budget->window > MAX_SHIFT) {
		budget->shift = 0;
	} else if (budget->taken < BUDGET / 2 && budget->shift) {
		budget->shift--;
	}
	budget->window = window;
	budget->taken = 0;
}

/* The budget of a call site.  If other call sites use both of its places, it shares the first. */
static __always_inline struct stack_budget *budget_of(u32 cpu, u64 call_site, u32 window)
{
	u32 first = cpu * BUDGETS + (call_site * 0x9e3779b97f4a7c15ull >> 51), second = first ^ 1;
	struct stack_budget *one = stack_budgets.lookup(&first), *other;

	if (!one || (one->call_site == call_site && one->window == window))
		return one;
	other = stack_budgets.lookup(&second);
	if (!other || (other->call_site == call_site && other->window == window))
		return other;
	if (one->call_site == call_site || one->window != window)
		budget_begin(one, call_site, window);
	else if (other->window != window) {
		budget_begin(other, call_site, window);
		return other;
	}
	return one;
}

static __always_inline bool stack_due(u32 cpu, u64 call_site, u64 ts_ns)
{
	struct stack_budget *budget = budget_of(cpu, call_site, ts_ns >> WINDOW_SHIFT);
	u64 random = ts_ns * 0x9e3779b97f4a7c15ull >> 40;

	if (!budget)
		return true;
	if (random & ((1u << (budget->shift & 31)) - 1))
		return false;
	if (++budget->taken >= BUDGET && budget->shift < MAX_SHIFT) {
		budget->shift++;
		budget->taken = 0;
	}
	return true;
}
#endif
