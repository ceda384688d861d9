/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Reading kernel memory, for every event.
 *
 * bpf_probe_read_kernel takes 15 ns for a word.  Where the kernel lets a program load from any
 * address (RDONLY_CAST: bpf_rdonly_cast to void, 6.17), it is a plain load.  A load from an address
 * that is not mapped gives 0, by the kernel's exception tables.
 */
#pragma once

#ifdef RDONLY_CAST
/* No helper has this number: capture/programs/kfuncs.py replaces it by the kernel function. */
static u64 (*rdonly_cast)(u64 address, u64 type_id) = (void *)RDONLY_CAST;

#define KERNEL_READ(to, address)                                                                   \
	({                                                                                         \
		*(to) = *(typeof(to))rdonly_cast(address, 0);                                      \
		true;                                                                              \
	})
#else
#define KERNEL_READ(to, address) (bpf_probe_read_kernel(to, sizeof(*(to)), (void *)(address)) == 0)
#endif
