/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * --vmalloc: areas that vmalloc allocates and vfree frees, paired by address.
 *
 * The tracepoints (later than 6.1) report every area of kernel addresses, so ioremap and vmap too, which have no
 * pages of their own.  Those are left out: vmalloc's own functions are not on the stack then.
 * An area ends with a page that nothing is mapped to; `size` includes it (mm/vmalloc.c: VM_NO_GUARD).
 */
#pragma once

#ifdef VMALLOC_MEMORY
static __always_inline bool vmalloc_wanted(void *ctx, struct seen_event *seen)
{
	if (find_caller(ctx, &seen->call_site) != TEXT_VMALLOC)
		return false;
	return seen->kind & 0x10 ? free_wanted(seen->ptr, 0)
				 : alloc_wanted(seen->ptr, 0, seen->bytes_req);
}
#endif
