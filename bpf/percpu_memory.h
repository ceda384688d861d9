/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * --percpu: allocations and frees of per-CPU memory, paired by their address as objects of slabs are.
 *
 * A per-CPU pointer is no address in memory: it has no page, and no cache.  bytes_alloc is of all CPUs
 * together.  Before 6.0 the tracepoint has neither that nor a call site (capture/kernel/percpu_shape.py).
 */
#pragma once

#ifdef PERCPU_MEMORY
#ifdef ARG_percpu_alloc_percpu_call_site
#define PERCPU_CALL_SITE ARG(percpu_alloc_percpu, call_site)
#else
#define PERCPU_CALL_SITE 0
#endif
#ifdef ARG_percpu_alloc_percpu_bytes_alloc
#define PERCPU_BYTES ARG(percpu_alloc_percpu, bytes_alloc)
#else
#define PERCPU_BYTES (ARG(percpu_alloc_percpu, bytes_req) * POSSIBLE_CPUS)
#endif
#ifdef ARG_percpu_alloc_percpu_gfp_flags
#define PERCPU_GFP ARG(percpu_alloc_percpu, gfp_flags)
#else
#define PERCPU_GFP 0
#endif
#define PERCPU_ALLOC_EVENT                                                                         \
	{                                                                                          \
		.kind = SLAB_PERCPU_ALLOC,                                                         \
		.ptr = ARG(percpu_alloc_percpu, ptr),                                              \
		.call_site = PERCPU_CALL_SITE,                                                     \
		.bytes_req = ARG(percpu_alloc_percpu, bytes_req),                                  \
		.bytes_alloc = PERCPU_BYTES,                                                       \
		.gfp_flags = PERCPU_GFP,                                                           \
		.node = -1,                                                                        \
	}
SLAB_PROGRAM(percpu_alloc_percpu, PERCPU_ALLOC_EVENT)

#define PERCPU_FREE_EVENT                                                                          \
	{                                                                                          \
		.kind = SLAB_PERCPU_FREE,                                                          \
		.ptr = ARG(percpu_free_percpu, ptr),                                               \
		.node = -1,                                                                        \
	}
SLAB_PROGRAM(percpu_free_percpu, PERCPU_FREE_EVENT)
#endif
