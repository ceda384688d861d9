/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
#pragma once
#define roundup_pow_of_two(n) (n) /* bcc sizes perf maps with it; there are none here */
