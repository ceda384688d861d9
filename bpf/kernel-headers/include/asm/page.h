/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
#pragma once
#define PAGE_SHIFT 12
#define PAGE_SIZE  (1ul << PAGE_SHIFT)
