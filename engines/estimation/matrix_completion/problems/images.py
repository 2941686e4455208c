"""Pictures: the bundled ones and uploads, as matrices; what is missing; how good a completion is."""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.contract import Refusal

LARGEST_PIXELS = 60_000_000
"""An upload with more is refused: decoded it would take gigabytes."""

SMALLEST_SIDE = 16

BUNDLED = {
    "china": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "cat": ("skimage", "data/chelsea.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
}
"""Pictures that are not skimage/data/<name>.png: package and path in it."""


@dataclass(frozen=True)
class Photograph:
    """A picture as a matrix of numbers from 0 to 1: h x w (grey), or h x 3w with red, green and blue side by
    side, so that the three channels share their left factor."""

    pixels: NDArray[np.float64]
    """(h, w) or (h, w, 3), 0 to 1."""

    @property
    def is_colour(self) -> bool:
        return self.pixels.ndim == 3

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(h, w) or (h, 3 w)."""
        return np.hstack([self.pixels[..., c] for c in range(3)]) if self.is_colour else self.pixels

    def mask_of_matrix(self, seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The pixel mask (h, w) for `matrix`: a pixel is seen in all channels or in none."""
        return np.hstack([seen] * 3) if self.is_colour else seen

    def picture_of(self, matrix: NDArray[Any]) -> NDArray[np.float64]:
        """A matrix as `matrix` back to pixels, clipped to 0..1."""
        whole = np.clip(matrix, 0.0, 1.0).astype(np.float64)
        return np.stack(np.hsplit(whole, 3), axis=-1) if self.is_colour else whole


def check_header(path: Path) -> None:
    """Raises `Refusal` where the file is no picture that we can read, or one too large or too small."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                width, height = picture.size
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError, ValueError, SyntaxError) as error:
        raise Refusal("upload", f"upload must be a PNG, JPEG, WebP, BMP or TIFF picture; {path.name} is none that can "
                      "be read. Choose another file.") from error  # fmt: skip
    if width * height > LARGEST_PIXELS:
        raise Refusal("upload", f"upload must have at most {LARGEST_PIXELS:,} pixels; {path.name} has {width} x {height}. "
                      "Scale it down first.")  # fmt: skip
    if min(width, height) < SMALLEST_SIDE:
        raise Refusal(
            "upload",
            f"upload must be at least {SMALLEST_SIDE} pixels high and wide; {path.name} has {width} x {height}.",
        )


def photograph(name: str, upload: Path | None, side: int, colour: bool) -> Photograph:
    """The picture `name` (or the upload), its longer side scaled down to `side` pixels (area-averaged)."""
    from PIL import Image

    if name == "upload":
        if upload is None:
            raise Refusal("upload", "upload must be a picture when picture is 'upload'; got no file.")
        check_header(upload)
        try:
            with Image.open(upload) as opened:
                picture = _opaque(opened)
        except (OSError, ValueError, SyntaxError) as error:
            raise Refusal(
                "upload",
                f"upload {upload.name} is damaged: it cannot be read to its end. Choose another file.",
            ) from error
    else:
        with Image.open(bundled_path(name)) as opened:
            picture = _opaque(opened)
    scale = side / max(picture.size)
    if scale < 1.0:
        size = tuple(max(SMALLEST_SIDE, round(length * scale)) for length in picture.size)
        picture = picture.resize((size[0], size[1]), Image.Resampling.BOX)
    return Photograph(np.asarray(picture if colour else picture.convert("L"), np.float64) / 255.0)


def _opaque(picture: Any) -> Any:
    """RGB; a transparent picture is laid on white; 16-bit grey is scaled to 8 bits."""
    from PIL import Image

    if picture.mode.startswith(("I", "F")):
        values = np.asarray(picture, np.float64)
        low, high = float(values.min()), float(values.max())
        return Image.fromarray(np.uint8(255.0 * (values - low) / max(high - low, 1e-300))).convert("RGB")
    if "A" in picture.mode or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return picture.convert("RGB")


def bundled_path(name: str) -> Path:
    """The file of a picture that an installed package ships. The packages are located, not imported: their
    loaders would take seconds to import and return the same files."""
    package, inside = BUNDLED.get(name, ("skimage", f"data/{name}.png"))
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / inside
        if path.is_file():
            return path
    raise Refusal(
        "picture", f"picture {name!r} is not part of the installed {package}. Choose another picture."
    )


def mask(
    pattern: str, shape: tuple[int, int], fraction: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Which pixels (h, w) are seen: about `fraction` of them (exactly for "uniform" and "missing rows")."""
    h, w = shape
    if pattern == "uniform":
        seen = np.zeros(h * w, bool)
        seen[rng.permutation(h * w)[: max(1, round(fraction * h * w))]] = True
        return seen.reshape(h, w)
    if pattern == "missing rows":
        seen = np.zeros((h, w), bool)
        seen[rng.permutation(h)[: max(1, round(fraction * h))]] = True
        return seen
    seen = np.ones((h, w), bool)
    largest = max(4, min(h, w) // 12)
    while seen.mean() > max(fraction, 1.0 / (h * w)):
        if pattern == "blocks":
            high, wide = rng.integers(2, largest + 1, 2)
            top, left = rng.integers(0, h), rng.integers(0, w)
            seen[top : top + high, left : left + wide] = False
        else:
            _scratch(seen, rng)
    if not seen.any():
        seen[h // 2, w // 2] = True
    return seen


def _scratch(seen: NDArray[np.bool_], rng: np.random.Generator) -> None:
    """One straight scratch, one to three pixels thick."""
    h, w = seen.shape
    angle, length = rng.uniform(0.0, np.pi), rng.uniform(0.2, 0.8) * max(h, w)
    y, x = rng.uniform(0, h), rng.uniform(0, w)
    along = np.arange(-length / 2.0, length / 2.0, 0.5)
    for shift in range(int(rng.integers(1, 4))):
        rows = np.round(y + along * np.sin(angle) + shift * np.cos(angle)).astype(int)
        cols = np.round(x + along * np.cos(angle) - shift * np.sin(angle)).astype(int)
        inside = (rows >= 0) & (rows < h) & (cols >= 0) & (cols < w)
        seen[rows[inside], cols[inside]] = False


def psnr(truth: NDArray[Any], answer: NDArray[Any], missing: NDArray[np.bool_]) -> float:
    """10 log10(1 / mean squared error) in dB over the missing pixels (all channels); inf where none is wrong."""
    mse = float(np.mean((truth[missing] - answer[missing]) ** 2)) if missing.any() else 0.0
    return float(10.0 * np.log10(1.0 / mse)) if mse > 0.0 else float("inf")


def ssim(truth: NDArray[Any], answer: NDArray[Any], missing: NDArray[np.bool_]) -> float:
    """Mean over the missing pixels of the structural similarity (Wang et al. 2004) in uniform 7 x 7 windows,
    channels averaged; as scikit-image computes it by default, for data in 0..1."""
    from scipy.ndimage import uniform_filter

    if not missing.any():
        return 1.0
    if truth.ndim == 3:
        return float(np.mean([ssim(truth[..., c], answer[..., c], missing) for c in range(truth.shape[2])]))
    window = 7
    c1, c2 = 0.01**2, 0.03**2
    unbiased = window**2 / (window**2 - 1.0)
    x, y = uniform_filter(truth, window), uniform_filter(answer, window)
    xx = unbiased * (uniform_filter(truth * truth, window) - x * x)
    yy = unbiased * (uniform_filter(answer * answer, window) - y * y)
    xy = unbiased * (uniform_filter(truth * answer, window) - x * y)
    similarity = (2.0 * x * y + c1) * (2.0 * xy + c2) / ((x * x + y * y + c1) * (xx + yy + c2))
    return float(np.mean(similarity[missing]))


def as_uint8(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """(h, w) or (h, w, 3) from 0..1 to H x W x 3 bytes."""
    whole = np.uint8(np.round(255.0 * np.clip(pixels, 0.0, 1.0)))
    return whole if whole.ndim == 3 else np.repeat(whole[..., None], 3, axis=2)
