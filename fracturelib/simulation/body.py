"""A limb, whole or broken, as path lengths through each tissue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fracturelib.simulation.anatomy import Bone, Limb, LongBone
from fracturelib.simulation.fractures import Fracture, Piece, break_bone, intact
from fracturelib.simulation.projection import project_solid
from fracturelib.simulation.solids import Chords, Film, Motion, Slices, Tube, sample_texture


def project_body(limb: Limb, film: Film, fractures: tuple[Fracture, ...] = ()) -> dict[str, np.ndarray]:
    """Path lengths in mm of the limb: cortex, marrow, and the flesh (skin to skin) and muscle around them."""
    shape = film.shape
    cortex, marrow, spongy = (np.zeros(shape, dtype=np.float32) for _ in range(3))
    for i, bone in enumerate(limb.bones):
        for piece in _pieces(limb, i, bone, fractures):
            _add_piece(piece, film, cortex, marrow, spongy)
    flesh, muscle = _soft_tissue(limb, film, _flesh_motion(limb, fractures))
    # Spongy bone is marrow with some cortex in it.
    return {"cortex": cortex + spongy, "marrow": marrow - spongy, "flesh": flesh, "muscle": np.minimum(muscle, flesh)}


def split_tissues(body: dict[str, np.ndarray], extras: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Split skin to skin into bone, muscle and fat, so that the parts add up, and add what is foreign."""
    bone = body["cortex"] + body["marrow"]
    soft = np.clip(body["flesh"] - bone, 0, None) + np.clip(extras["folds"], -5, None)
    soft = np.clip(soft, 0, None)
    muscle = np.clip(body["muscle"] - bone, 0, soft)
    return {"cortex": body["cortex"], "marrow": body["marrow"], "muscle": muscle, "fat": soft - muscle,
            "metal": extras["metal"], "plaster": extras["plaster"]}  # fmt: skip


def _pieces(limb: Limb, index: int, bone: Bone, fractures: tuple[Fracture, ...]) -> list[Piece]:
    for fracture in fractures:
        if limb.by_name[fracture.site.bone] == index and isinstance(bone, LongBone):
            return break_bone(bone, fracture)
    if not fractures:
        return intact(bone)
    return intact(bone, _carried(bone, fractures[0]))


def _carried(bone: Bone, fracture: Fracture) -> Motion | None:
    """How a whole bone follows the broken one: rigidly beyond it, bending beside it, not at all before it."""
    finger = fracture.site.bone[-1]
    if finger.isdigit() and bone.name[-1] != finger:
        return None
    solid, pivot = bone.main, fracture.motion.pivot[2]
    if isinstance(solid, Tube):
        ends = sorted([solid.origin[2], (solid.origin + solid.length * solid.axis)[2]])
    else:
        ends = [solid.centre[2]] * 2
    if ends[0] >= pivot - 2:
        return fracture.motion
    if ends[1] <= pivot:
        return None
    return replace(fracture.motion, softness=0.22 * (ends[1] - ends[0]))


def _flesh_motion(limb: Limb, fractures: tuple[Fracture, ...]) -> Motion | None:
    """Skin and muscle bend where the bone breaks; one finger's bone does not move the hand."""
    if not fractures or fractures[0].site.bone[-1].isdigit():
        return None
    motion = fractures[0].motion
    across, forward, along = (0.6 * part for part in motion.shift)
    return replace(motion, shift=(across, forward, along), softness=38.0 * limb.build.size)


def _add_piece(piece: Piece, film: Film, cortex: np.ndarray, marrow: np.ndarray, spongy: np.ndarray) -> None:
    """Add one rigid piece; its fused solids are joined by the larger path."""
    projected = [
        project_solid(solid, film, above=above, below=below, motion=piece.motion)
        for solid, above, below in piece.solids
    ]
    chords = [chord for chord in projected if chord is not None]
    if not chords:
        return
    window, outer, inner, filling = _join(chords)
    cortex[window] += outer - inner
    marrow[window] += inner
    spongy[window] += inner * np.minimum(filling, 1)


def _join(chords: Sequence[Chords]) -> tuple[Slices, np.ndarray, np.ndarray, np.ndarray]:
    if len(chords) == 1:
        return chords[0].window, chords[0].outer, chords[0].inner, chords[0].filling
    rows = [min(c.window[0].start for c in chords), max(c.window[0].stop for c in chords)]
    columns = [min(c.window[1].start for c in chords), max(c.window[1].stop for c in chords)]
    window = slice(*rows), slice(*columns)
    outer, inner, filling = (np.zeros((rows[1] - rows[0], columns[1] - columns[0]), dtype=np.float32) for _ in range(3))
    for c in chords:
        part = (slice(c.window[0].start - rows[0], c.window[0].stop - rows[0]),
                slice(c.window[1].start - columns[0], c.window[1].stop - columns[0]))  # fmt: skip
        filling[part] = np.where(c.inner > inner[part], c.filling, filling[part])
        np.maximum(outer[part], c.outer, out=outer[part])
        np.maximum(inner[part], c.inner, out=inner[part])
    return window, outer, np.minimum(inner, outer), filling


def _soft_tissue(limb: Limb, film: Film, motion: Motion | None) -> tuple[np.ndarray, np.ndarray]:
    """Paths from skin to skin and through muscle; parts that overlap count once."""
    flesh, muscle = np.zeros(film.shape, dtype=np.float32), np.zeros(film.shape, dtype=np.float32)
    for solid in limb.flesh:
        chords = project_solid(solid, film, motion=motion)
        if chords is not None:
            np.maximum(flesh[chords.window], chords.outer, out=flesh[chords.window])
            np.maximum(muscle[chords.window], chords.inner, out=muscle[chords.window])
    return flesh, muscle * _fibres(limb, film)


def _fibres(limb: Limb, film: Film) -> np.ndarray:
    """Bundles of muscle with fat between them: the muscle's share of the path varies along and across the limb."""
    u, v = film.grid()
    scale = np.float32(0.22 / limb.build.size)
    return 1 - 0.07 * np.clip(1 + sample_texture(v * scale, u * scale, limb.skin.texture), 0, 3)
