/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Two small programs by which user space reads the slab allocator's memory.
 *
 * `peek` reads kernel memory: user space runs it with BPF_PROG_TEST_RUN, arguments (address, length).
 * `catch_cache` stores the address of any one kmem_cache; all others are found through their list.
 */
#pragma once

#define PEEK_BYTES 32768 /* a slab of order 3 */

struct peeked {
	s64 status; /* 0, or the error of the read */
	u8 bytes[PEEK_BYTES];
};

BPF_F_TABLE("array", u32, struct peeked, peeked, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, u64, caught_cache, 1, BPF_F_MMAPABLE);

int peek(struct bpf_raw_tracepoint_args *ctx)
{
	u32 zero = 0;
	struct peeked *out = peeked.lookup(&zero);
	u64 length = ctx->args[1];

	if (!out)
		return 0;
	if (length > PEEK_BYTES)
		length = PEEK_BYTES;
	out->status = bpf_probe_read_kernel(out->bytes, length, (void *)ctx->args[0]);
	return 0;
}

#ifdef ARG_kmem_cache_alloc_cache
int catch_cache(struct bpf_raw_tracepoint_args *ctx)
{
	u32 zero = 0;
	u64 *caught = caught_cache.lookup(&zero);

	if (caught)
		*caught = ctx->args[ARG_kmem_cache_alloc_cache];
	return 0;
}
#endif
