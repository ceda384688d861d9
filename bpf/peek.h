/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Small programs by which user space reads the slab allocator's memory.
 *
 * `peek` reads kernel memory: user space runs it with BPF_PROG_TEST_RUN, arguments (address, length).
 * `peek_many` reads up to PEEK_REQUESTS places at once, argument (number of requests).
 * `catch_cache` stores the address of any one kmem_cache, `catch_task` that of the task that runs it; all
 * others are found through their lists.
 */
#pragma once

#define PEEK_BYTES 32768 /* a slab of order 3 */

struct peeked {
	s64 status; /* 0, or the error of the read */
	u8 bytes[PEEK_BYTES];
};

BPF_F_TABLE("array", u32, struct peeked, peeked, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, u64, caught, 1, BPF_F_MMAPABLE);

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

#define PEEK_REQUESTS	1024
#define PEEK_LONGEST	65536	/* bytes of one request */
#define PEEK_MANY_BYTES 1048576 /* of all requests of one run */
#define PEEK_BUFFER	1114112 /* both: the verifier adds up the largest `at` and `length` */

struct peek_request {
	u64 address;
	u32 length;
	u32 at; /* where in `bytes` */
	s64 status;
};

struct peeked_many {
	struct peek_request requests[PEEK_REQUESTS];
	u8 bytes[PEEK_BUFFER];
};

BPF_F_TABLE("array", u32, struct peeked_many, peeked_many, 1, BPF_F_MMAPABLE);

int peek_many(struct bpf_raw_tracepoint_args *ctx)
{
	u32 zero = 0;
	struct peeked_many *out = peeked_many.lookup(&zero);
	u64 count = ctx->args[0];

	if (!out)
		return 0;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < PEEK_REQUESTS; i++) {
		struct peek_request *request = &out->requests[i];
		u64 length = request->length, at = request->at;

		if (i >= count)
			break;
		if (length > PEEK_LONGEST || at > PEEK_MANY_BYTES)
			continue;
		request->status =
			bpf_probe_read_kernel(out->bytes + at, length, (void *)request->address);
	}
	return 0;
}

#ifdef ARG_kmem_cache_alloc_cache
int catch_cache(struct bpf_raw_tracepoint_args *ctx)
{
	u32 zero = 0;
	u64 *address = caught.lookup(&zero);

	if (address)
		*address = ctx->args[ARG_kmem_cache_alloc_cache];
	return 0;
}
#endif

int catch_task(struct bpf_raw_tracepoint_args *ctx)
{
	u32 zero = 0;
	u64 *address = caught.lookup(&zero);

	if (address)
		*address = bpf_get_current_task();
	return 0;
}
