"""Stage 1: the autoencoder (AutoencoderTiny), 5 CPU minutes.

Crops around objects for the first 60 % of the time, whole pictures after. A BatchNorm without affine between
encoder and decoder gives the latents unit variance per channel; at the end it is folded into the encoder's last
convolution, so the exported model is a plain AutoencoderTiny."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from engines.devices import numpy_generator, torch_generator
from engines.images.training.architecture import make_vae
from engines.images.training.loop import Budget, arguments, flat_then_cosine, load, numbers, save, train
from engines.images.world import all_captions, check_many, draw_captions, draw_scenes, render

CROP = 32


def crops(rng: np.random.Generator, number: int) -> torch.Tensor:
    """Cut-outs of 32x32 around objects of fresh renders, float32 [number, 3, 32, 32] in 0..1."""
    scenes = draw_scenes(rng, draw_captions(rng, number))
    pictures = render(scenes)
    slot = rng.integers(0, scenes.count)
    rows = np.arange(number)
    out = np.empty((number, 3, CROP, CROP), dtype=np.float32)
    x = np.clip(scenes.x[rows, slot] - CROP / 2 + rng.uniform(-14, 14, number), 0, 64 - CROP).astype(int)
    y = np.clip(scenes.y[rows, slot] - CROP / 2 + rng.uniform(-14, 14, number), 0, 64 - CROP).astype(int)
    for row in rows:
        out[row] = pictures[row, :, y[row] : y[row] + CROP, x[row] : x[row] + CROP]
    return torch.from_numpy(out)


class Normalised(nn.Module):
    """Autoencoder with a BatchNorm on its latents."""

    def __init__(self) -> None:
        super().__init__()
        self.vae = make_vae()
        self.norm = nn.BatchNorm2d(8, affine=False, momentum=0.02)

    def forward(self, pictures: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Reconstruction in 0..1 and latents; `noise` [N, 8, h, w] is added to the normalised latents."""
        z = self.norm(self.vae.encoder(pictures * 2 - 1))
        return self.vae.decoder(z + noise) / 2 + 0.5, z

    def folded(self) -> nn.Module:
        """A plain AutoencoderTiny whose last encoder convolution contains the normalisation."""
        plain = make_vae()
        plain.load_state_dict(self.vae.state_dict())
        last = plain.encoder.layers[-1]
        scale = (self.norm.running_var + self.norm.eps).rsqrt()
        with torch.no_grad():
            last.weight.mul_(scale[:, None, None, None])
            bias = last.bias if last.bias is not None else torch.zeros(8)
            last.bias = nn.Parameter((bias - self.norm.running_mean) * scale)
        return plain


@torch.no_grad()
def measure(vae: nn.Module, number: int = 300, noise: float = 0.0) -> dict[str, Any]:
    """PSNR and strict accuracy of reconstructions of fresh renders, std of latents."""
    rng = numpy_generator(1, "vae-test")
    places = draw_captions(rng, number)
    pictures = torch.from_numpy(render(draw_scenes(rng, places)))
    z = vae.encode(pictures * 2 - 1).latents
    z_noisy = z + noise * torch.randn(z.shape, generator=torch_generator(1, "vae-test"))
    back = (vae.decode(z_noisy).sample / 2 + 0.5).clamp(0, 1)
    psnr = -10 * torch.log10(functional.mse_loss(back, pictures))
    strict, _ = check_many(back.numpy(), [all_captions()[p] for p in places])
    return {
        "psnr": round(float(psnr), 2),
        "strict": float(strict.mean()),
        "latent_std": round(float(z.std()), 3),
    }


def main() -> None:
    """Train, fold, measure, and leave `vae-final.pt` in the folder."""
    options = arguments("Train the autoencoder.", 5.0)
    torch.manual_seed(options.seed)
    model = Normalised().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.99), weight_decay=1e-4)

    def step(number: int, progress: float) -> dict[str, float]:
        rng = numpy_generator(options.seed, "vae", number)
        if progress < 0.6:
            pictures = crops(rng, 32)
        else:
            pictures = torch.from_numpy(render(draw_scenes(rng, draw_captions(rng, 16))))
        size = pictures.shape[-1] // 8
        noise = rng.standard_normal((len(pictures), 8, size, size)) * rng.uniform(
            0, 0.15, (len(pictures), 1, 1, 1)
        )
        back, z = model(pictures, torch.from_numpy(noise.astype(np.float32)))
        square = functional.mse_loss(back, pictures)
        loss = 0.3 * functional.l1_loss(back, pictures) + 3 * square
        loss = loss + 0.002 * functional.relu(z.abs() - 3).square().mean()
        loss.backward()
        return numbers(mse=square)

    def report() -> dict[str, Any]:
        model.eval()
        figures = measure(model.folded(), 100)
        model.train()
        return figures

    train(
        Budget.of(options, "vae"),
        {"vae": model},
        optimizer,
        step,
        schedule=lambda p, n: flat_then_cosine(p, n, warm=100, flat=0.4, end=0.02),
        report=report,
        report_minutes=0.9,
    )
    model.eval()
    final = model.folded().eval()
    save(options.folder / "vae-final.pt", final.state_dict())
    figures = {"clean": measure(final), "noise .2": measure(final, noise=0.2)}
    save(options.folder / "vae-figures.pt", figures)
    with open(options.folder / "vae.log", "a") as file:
        file.write(f"{figures}\n")


def final_vae(folder: Any) -> nn.Module:
    """The trained autoencoder of a folder, frozen, in eval mode."""
    vae = make_vae()
    last = vae.encoder.layers[-1]
    if last.bias is None:
        last.bias = nn.Parameter(torch.zeros(8))
    vae.load_state_dict(load(folder / "vae-final.pt"))
    return vae.eval().requires_grad_(False)


if __name__ == "__main__":
    main()
