# SPDX-License-Identifier: Apache-2.0
"""Which keyrings have a key: their trees (assoc_array) are read from the root.

A pointer in the tree has flags in its lower bits: 1 for a node or a shortcut, with 2 for a shortcut; and 2
alone for a keyring among the keys.
"""

from __future__ import annotations

import numpy as np

from slabtrace.capture.inspecting.kinds.kind import KERNEL, Scene
from slabtrace.capture.inspecting.kinds.others import Key
from slabtrace.capture.inspecting.memory import strings
from slabtrace.trace.format.batch import UInt64

_META, _SHORTCUT, _FLAGS = 1, 2, 3
_FAN_OUT = 16
_MOST_NODES = 100_000


class Keyrings:
    """The keyrings among some keys, and what is in them."""

    def __init__(self, scene: Scene, keys: UInt64) -> None:
        self._scene = scene
        self._of: dict[int, list[int]] = {}
        self._again: dict[int, set[int]] = {}
        needed = ("key.keys.root", "assoc_array_node.slots", "assoc_array_shortcut.next_node")
        if not len(keys) or not scene.layout.has(*needed, *Key.needs):
            return
        kinds = strings(scene.memory, scene.words(scene.words(keys, "key.type"), "key_type.name"), 32)
        for key, kind in zip(keys.tolist(), kinds, strict=True):
            if kind == "keyring":
                for inside in self._keys(scene.word(key, "key.keys.root")):
                    self._of.setdefault(inside, []).append(key)

    def _keys(self, root: int) -> list[int]:
        """The keys below a pointer of the tree."""
        scene, at, found = self._scene, self._scene.layout, list[int]()
        waiting, visited = [root], 0
        while waiting and visited < _MOST_NODES:
            pointer = waiting.pop()
            visited += 1
            if pointer & ~_FLAGS <= int(KERNEL):
                continue
            if not pointer & _META:
                found.append(pointer & ~_FLAGS)
            elif pointer & _SHORTCUT:
                waiting.append(scene.word(pointer & ~_FLAGS, "assoc_array_shortcut.next_node"))
            else:
                place = np.array([(pointer & ~_FLAGS) + at["assoc_array_node.slots"]], np.uint64)
                waiting += scene.memory.structs(place, 8 * _FAN_OUT)[0][0].tolist()
        return found

    def of(self, key: int) -> list[int]:
        """The keyrings that have this key."""
        return self._of.get(key, [])

    def has(self, keyring: int, key: int) -> bool:
        """Reads again: has the keyring this key?"""
        if keyring not in self._again:
            self._again[keyring] = set(self._keys(self._scene.word(keyring, "key.keys.root")))
        return key in self._again[keyring]

    def forget(self) -> None:
        """Forget what was read again, to read it once more."""
        self._again.clear()
