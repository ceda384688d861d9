# SPDX-License-Identifier: Apache-2.0
"""Where objects were freed: the places that freed the siblings of what stays; which of them stopped."""
