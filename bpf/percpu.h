/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Where each CPU's own memory lies.  A per-CPU pointer of the kernel plus one number for each CPU
 * is an address.  User space learns that number from a per-CPU map of its own: `percpu_place`, run
 * once on each CPU with BPF_PROG_TEST_RUN, tells the map's address (its struct holds the per-CPU
 * pointer to the elements) and the address of the CPU's element.  capture/slabs/percpu.py does the sum.
 */
#pragma once

/* bcc hands a program no map's address; capture/slabs/percpu.py puts the map where this number stands. */
#define PERCPU_ELEMENTS_ITSELF 0x7a110002

struct percpu_place {
	u64 map;
	u64 element;
};

BPF_PERCPU_ARRAY(percpu_elements, u64, 1);
BPF_F_TABLE("array", u32, struct percpu_place, percpu_places, 1, BPF_F_MMAPABLE);

int percpu_place(struct bpf_raw_tracepoint_args *ctx)
{
	u32 zero = 0;
	u64 *element = percpu_elements.lookup(&zero);
	struct percpu_place *place = percpu_places.lookup(&zero);

	if (!element || !place)
		return 0;
	place->map = bpf_pseudo_fd(1, PERCPU_ELEMENTS_ITSELF);
	place->element = (u64)element;
	return 0;
}
