/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
#pragma once
/* Never compared against: features are detected.  bcc only asks whether it is past 4.8. */
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))
#define LINUX_VERSION_CODE	KERNEL_VERSION(5, 10, 0)
