/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The per-CPU offset of each CPU: a per-CPU pointer of the kernel plus this offset is an address.
 *
 * User space learns the offsets from a per-CPU map of its own.  `percpu_place`, run once on each CPU
 * with BPF_PROG_TEST_RUN, gives the address of the map (its struct holds the per-CPU pointer to the
 * elements) and the address of this CPU's element.  The difference of element and pointer is the
 * offset (capture/slabs/percpu.py).
 */
#pragma once

/* bcc gives a program no way to load the address of a map: capture/programs/loading.py puts the map in
 * place of this number. */
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
