# SPDX-License-Identifier: Apache-2.0
"""Groups of allocation sites and of live objects: by stack, call site, module, process, cache."""
