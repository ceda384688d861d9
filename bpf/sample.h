/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * --sample 1/N: only addresses whose hash ends in zeros are recorded, N being a power of two.
 *
 * By address, so that of an object both the allocation and the free are kept, or neither, without any
 * table; and so that the sample of 1/2N is part of that of 1/N: `sample_mask` may grow while recording
 * (--budget), and what was recorded before is thinned by the reader (trace/format/sample.py has the same hash).
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
