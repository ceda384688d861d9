/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Objects that are only counted (--mode survivors): those freed at an age below the threshold.
 *
 * Objects with the same call site, cache, sizes and flags are of one kind.  Each kind gets a number below
 * COUNTED_KINDS from a hash table without locks: a row of eight keys is one cache line, and a place in it
 * is taken by compare-and-exchange.  Each CPU has a histogram of lifetimes per kind, with two bins per
 * octave.  Additions are atomic, because an interrupt may come between a load and its store.
 */
#pragma once

#ifdef SURVIVORS
#define KINDS_PER_ROW 8
#define NO_KIND	      0xffff
#define LEAST_OCTAVE  6	 /* the first bin, from 2^6 ns, has all shorter lifetimes too */
#define LIFETIME_BINS 63 /* up to 2^37.5 ns, 194 s */

struct kind_row {
	u64 key[KINDS_PER_ROW];
};

struct kind_counts {
	u64 moved;		      /* objects freed on another CPU than they were allocated on */
	u64 lifetimes[LIFETIME_BINS]; /* bin i begins at 2^(LEAST_OCTAVE + i / 2) ns */
};

BPF_F_TABLE("array", u32, struct kind_row, kind_rows, COUNTED_KINDS / KINDS_PER_ROW, 0);
/* An allocation of each kind.  `kind` is written last; while it is 0 the rest is not valid. */
BPF_F_TABLE("array", u32, struct slab_event, kind_events, COUNTED_KINDS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct kind_counts, kind_counts, NR_CPUS *COUNTED_KINDS, BPF_F_MMAPABLE);

/* A kind that another CPU has taken, once it is filled in.  Until then (microseconds, once for each kind)
 * its objects are sent as if there were no room. */
static __always_inline u32 filled_kind(u32 number)
{
	struct slab_event *kept = kind_events.lookup(&number);

	return kept && *(volatile u8 *)&kept->kind ? number : NO_KIND;
}

/* The number of an allocation's kind, which is a new one if need be.  `stack_id` is the stack that
 * counts for the kind.  NO_KIND where its row is full. */
static __always_inline u32 kind_of(const struct slab_event *event, s32 stack_id)
{
	u64 key = site_key(event, stack_id), had;
	u32 row_index = (key >> 40) & (COUNTED_KINDS / KINDS_PER_ROW - 1), number;
	struct kind_row *row = kind_rows.lookup(&row_index);
	struct slab_event *kept;

	if (!row)
		return NO_KIND;
#pragma unroll
	for (u32 i = 0; i < KINDS_PER_ROW; i++) {
		had = row->key[i];
		number = row_index * KINDS_PER_ROW + i;
		if (had == key)
			return filled_kind(number);
		if (had)
			continue;
		had = __sync_val_compare_and_swap(&row->key[i], 0, key);
		if (had == key)
			return filled_kind(number);
		if (had)
			continue;
		kept = kind_events.lookup(&number);
		if (!kept)
			return NO_KIND;
		kept->call_site = event->call_site;
		kept->cache = event->cache;
		kept->bytes_req = event->bytes_req;
		kept->bytes_alloc = event->bytes_alloc;
		kept->gfp_flags = event->gfp_flags;
		kept->stack_id = stack_id;
		kept->node = event->node;
		kept->flags = event->flags;
		barrier();
		*(volatile u8 *)&kept->kind = event->kind;
		return number;
	}
	return NO_KIND;
}

/* Twice the binary logarithm of a lifetime (ns), rounded down, as a bin. */
static __always_inline u32 lifetime_bin(u64 ns)
{
	u64 left = ns | 1 << LEAST_OCTAVE;
	u32 octave = 0;

#pragma unroll
	for (u32 step = 32; step; step >>= 1) {
		if (left >> step) {
			left >>= step;
			octave += step;
		}
	}
	/* 46341 / 65536 is the root of 1/2: from 2^(octave + 1/2) on the product has one more */
	octave = (octave - LEAST_OCTAVE) * 2 + (ns * 46341 >> 16 >> octave & 1);
	return octave < LIFETIME_BINS ? octave : LIFETIME_BINS - 1;
}

/* Count an object of this kind that was freed `ns` after its allocation. */
static __always_inline void count_lifetime(u32 cpu, u32 number, u64 ns, bool moved)
{
	u32 index = cpu * COUNTED_KINDS + number;
	struct kind_counts *counts = kind_counts.lookup(&index);
	u64 bin = lifetime_bin(ns);

	/* clang knows this bound and drops the check; 6.1's verifier needs it, on all 64 bits */
	asm volatile("" : "+r"(bin));
	if (!counts || bin >= LIFETIME_BINS)
		return;
	__sync_fetch_and_add(&counts->lifetimes[bin], 1);
	if (moved)
		__sync_fetch_and_add(&counts->moved, 1);
}
#endif
