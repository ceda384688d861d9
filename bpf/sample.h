/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * --sample 1/N: only addresses whose hash ends in zeros are recorded.  N is a power of two.
 *
 * The address decides, so both the allocation and the free of an object are recorded, or neither, and
 * no table is needed.  The sample of 1/2N is part of that of 1/N, so `sample_mask` may grow while
 * recording (--budget): the reader thins what was recorded before (trace/format/sample.py, same hash).
 */
#pragma once

#ifdef SAMPLE
static __always_inline bool sampled(const struct cpu_state *state, u64 ptr)
{
	u64 hash = (ptr ^ ptr >> 29) * 0xff51afd7ed558ccdull;

	hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53ull;
	return !(hash >> 40 & state->sample_mask);
}
#else
#define sampled(state, ptr) true
#endif
