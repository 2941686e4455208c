"""Weight-free stand-ins for the trained models: a closed-form one-step generator, a closed-form flow, and a
template reward. They need no files, have known answers, and are what tests and the "no weights" mode run on.

Sources: reno.md 6.4 and ttsnap.md 6.2. One departure: pictures are 64x64 (there 32x32), so that the exact checker
judges them; lengths in pixels are doubled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from engines.devices import numpy_generator, torch_generator
from engines.images.world import Caption, all_captions, caption_of, draw_scenes, hard_negatives, render
from engines.images.world.captions import caption_index
from engines.images.world.render import GROUND, PALETTE, SIZE

COLORS = 3
"""The closed-form generator draws red, green and blue only."""
NOISE = (3, 32, 32)
_SLOT = 9  # x, y, r, three colour logits, three shape logits


@dataclass(frozen=True)
class Setting:
    """How blurred the choices are (`tau`) and how much the prompt pulls (`bias`)."""

    tau: float
    bias: float


SETTINGS = {
    "S1": Setting(0.25, 1.0),
    "S2": Setting(0.2, 1.5),
    "S3": Setting(0.6, 0.6),
    "S4": Setting(0.5, 1.0),
}


def double_prompts() -> tuple[str, ...]:
    """Prompts that the closed-form generator draws: two of its colours and a relation."""
    return tuple(
        c.text for c in all_captions() if c.task == "full" and all(item.color < COLORS for item in c.items)
    )


class ClosedFormGenerator:
    """G(noise, prompt): 18 fixed orthonormal directions of the noise are two objects' places, sizes, colours and
    shapes; the rest of the noise is without effect. Differentiable everywhere."""

    def __init__(self, setting: str = "S4", seed: int = 0) -> None:
        self.setting = SETTINGS[setting]
        d = int(np.prod(NOISE))
        basis = torch.randn((d, 2 * _SLOT), generator=torch_generator(seed, "double"), dtype=torch.float64)
        self.directions = torch.linalg.qr(basis).Q.T.float()  # [18, 3072]

    def encode(self, prompt: str) -> torch.Tensor:
        """Pull on the logits of each slot, float32 [2, 6]. Raises KeyError for a sentence of another kind."""
        caption = caption_of(prompt)
        if caption.text not in double_prompts():
            raise KeyError(
                f"the closed-form generator draws two objects in {COLORS} colours; got {prompt!r}."
            )
        pull = torch.zeros(2, 6)
        for slot, item in enumerate(caption.items):
            pull[slot, item.color] = pull[slot, 3 + item.shape] = self.setting.bias
        return pull

    def one_step(self, noise: torch.Tensor, pull: torch.Tensor) -> torch.Tensor:
        """Pictures [N, 3, 64, 64] in 0..1 of noise [N, 3, 32, 32]; carries gradients."""
        a = (noise.flatten(1) @ self.directions.T).view(-1, 2, _SLOT)
        out = torch.from_numpy(GROUND).view(1, 3, 1, 1).expand(len(noise), -1, SIZE, SIZE)
        for slot in range(2):
            x, y = (32 + 19 * torch.tanh(0.9 * a[:, slot, k]) for k in (0, 1))
            r = 9.2 + 1.4 * torch.tanh(a[:, slot, 2])
            color = torch.softmax((a[:, slot, 3:6] + pull[slot, :3]) / self.setting.tau, dim=1)
            shape = torch.softmax((a[:, slot, 6:9] + pull[slot, 3:]) / self.setting.tau, dim=1)
            alpha = (shape[:, :, None, None] * soft_shapes(x, y, r)).sum(1, keepdim=True)
            tint = (color @ torch.from_numpy(PALETTE[:COLORS]))[:, :, None, None]
            out = out * (1 - alpha) + alpha * tint
        return out


def soft_shapes(x: torch.Tensor, y: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
    """Coverage by each of the three shapes with edges 2 px wide, so that places and sizes have gradients.

    x, y, r [N]; float32 [N, 3, 64, 64]."""
    axis = torch.arange(SIZE, dtype=torch.float32) + 0.5
    dx, dy = axis.view(1, 1, -1) - x.view(-1, 1, 1), axis.view(1, -1, 1) - y.view(-1, 1, 1)
    r = r.view(-1, 1, 1)
    norm = (1.9**2 + 1.08**2) ** 0.5
    circle = (dx * dx + dy * dy + 1e-6).sqrt() - r
    square = torch.maximum(dx.abs().expand_as(circle), dy.abs().expand_as(circle)) - 0.92 * r
    slanted = (1.9 * dx.abs() - 1.08 * (dy + 0.95 * r)) / norm
    triangle = torch.maximum(slanted, (dy - 0.95 * r).expand_as(slanted))
    return torch.sigmoid(-2 * torch.stack([circle, square, triangle], dim=1))


class TemplateReward:
    """A hand-made differentiable detector: cross-correlation at 16x16 with the templates of all coloured shapes
    (zero mean, unit norm). An object scores its softmax-weighted response less .6 of the best other template's
    there; a relation scores tanh((main - .8 |cross|) / 10) of the soft centres in pixels.

    `unclean` > 0 subtracts that much of the mean distance of pixels to the allowed colours: the part of real
    rewards that blur ruins (ttsnap.md 6.2, result B uses 60)."""

    def __init__(self, unclean: float = 0.0, colors: int = 5) -> None:
        self.unclean, self.colors = unclean, colors
        c = torch.tensor(SIZE / 2)
        shapes = soft_shapes(c[None], c[None], torch.tensor([9.2]))[0]  # [3, 64, 64]
        tint = torch.from_numpy(PALETTE[:colors] - GROUND)
        full = tint[:, None, :, None, None] * shapes[None, :, None]  # [colours, 3, rgb, 64, 64]
        small = functional.avg_pool2d(full.flatten(0, 1), 4)[:, :, 4:12, 4:12]
        small = small - small.mean((1, 2, 3), keepdim=True)
        self.templates = small / small.flatten(1).norm(dim=1).view(-1, 1, 1, 1)

    def encode(self, prompt: str) -> Caption:
        """The parsed prompt; raises KeyError for a sentence that the world does not have."""
        return caption_of(prompt)

    def score(self, pictures: torch.Tensor, caption: Caption) -> torch.Tensor:
        """Score [N] of pictures [N, 3, 64, 64]; carries gradients."""
        small = functional.avg_pool2d(pictures - torch.from_numpy(GROUND).view(1, 3, 1, 1), 4)
        response = functional.conv2d(functional.pad(small, (4, 3, 4, 3)), self.templates)  # [N, K, 16, 16]
        total, centres = pictures.new_zeros(len(pictures)), []
        for item in caption.items:
            wanted = [3 * c + item.shape for c in ([item.color] if item.color >= 0 else range(self.colors))]
            others = [k for k in range(len(self.templates)) if k not in wanted]
            own = response[:, wanted].amax(1)
            weight = torch.softmax(own.flatten(1) * 6, dim=1).view_as(own)
            margin = own - 0.6 * response[:, others].amax(1)
            total = total + (weight * margin).sum((1, 2))
            axis = torch.arange(own.shape[-1], dtype=torch.float32) * 4
            centres.append(((weight.sum(1) * axis).sum(1), (weight.sum(2) * axis).sum(1)))
        if caption.relation >= 0:
            dx, dy = centres[1][0] - centres[0][0], centres[1][1] - centres[0][1]
            main = (dx, -dx, dy, -dy)[caption.relation]
            cross = dy if caption.relation < 2 else dx
            total = total + torch.tanh((main - 0.8 * cross.abs()) / 10)
        return total - self.unclean * self.dirt(pictures) if self.unclean else total

    def dirt(self, pictures: torch.Tensor) -> torch.Tensor:
        """Mean over pixels of the soft-min squared distance to the background and the palette, [N]."""
        allowed = torch.from_numpy(np.concatenate([GROUND[None], PALETTE]))  # [6, 3]
        gap = (pictures[:, None] - allowed.view(1, -1, 3, 1, 1)).square().sum(2)
        return -(torch.logsumexp(-gap / 0.01, dim=1) * 0.01).mean((1, 2))


class ClosedFormFlow:
    """An exact flow-matching model without training: for each prompt a set of 160 rendered scenes, 15 % right and
    the others one or two steps wrong, and the exact denoiser of that set blurred by `blur` (in units of the
    data's standard deviation). Early estimates are blurred as a real model's are."""

    def __init__(self, size: int = 160, right: float = 0.15, blur: float = 0.35, seed: int = 0) -> None:
        self.size, self.right, self.blur, self.seed = size, right, blur, seed
        self.noise_shape = (3, SIZE, SIZE)

    def encode(self, prompt: str) -> torch.Tensor:
        """The prompt's set, standardised, float32 [160, 12288]."""
        place = caption_index()[caption_of(prompt).text]
        rng = numpy_generator(self.seed, "flow", prompt)
        places = []
        for _ in range(self.size):
            chosen = place
            if rng.random() >= self.right:
                for _ in range(int(rng.integers(1, 3))):
                    chosen = int(rng.choice(hard_negatives(chosen)))
            places.append(chosen)
        pictures = torch.from_numpy(render(draw_scenes(rng, np.array(places)))).flatten(1)
        return (pictures - self.mean) / self.std

    mean, std = 0.15, 0.16

    def times(self, steps: int = 20, shift: float = 3.0) -> list[float]:
        """Noise levels 1 ... 0 with the shift of flow models: t' = shift t / (1 + (shift - 1) t)."""
        levels = [1 - k / steps for k in range(steps + 1)]
        return [shift * t / (1 + (shift - 1) * t) for t in levels]

    def clean(self, x: torch.Tensor, t: float, data: torch.Tensor) -> torch.Tensor:
        """Exact estimate of x0 from x_t = (1 - t) x0 + t eps; x [N, 3, 64, 64] and data [M, 12288]."""
        # weights_i ~ exp(-|x - (1 - t) X_i|^2 / (2 (t^2 + (1 - t)^2 blur^2)))
        gap = torch.cdist(x.flatten(1), (1 - t) * data).square()
        weight = torch.softmax(-gap / (2 * (t * t + ((1 - t) * self.blur) ** 2)), dim=1)
        return (weight @ data).view_as(x)

    def step(
        self, x: torch.Tensor, t: float, after: float, data: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One Euler step from noise level t to `after`: the next x and the estimate x0hat."""
        x0 = self.clean(x, t, data)
        return x + (after - t) * (x - x0) / t, x0

    def decode(self, x: torch.Tensor) -> torch.Tensor:
        """Pictures in 0..1."""
        return (x * self.std + self.mean).clamp(0, 1)
