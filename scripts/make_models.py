#!/usr/bin/env python3
"""Makes the bundled structure-only models in assets/models/.

    scripts/corpus.sh --tools && .corpus/python scripts/make_models.py

Weights are random and left out, so nothing is downloaded. Needs torch, torchvision and onnx.
"""

from pathlib import Path

import torch
import torchvision
from dlaplan_export import export
from torch import nn

OUT = Path(__file__).resolve().parent.parent / "assets" / "models"


class ConvBnSiLU(nn.Module):
    def __init__(self, c_in: int, c_out: int, k: int = 1, s: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, k, s, k // 2, bias=False)
        self.bn = nn.BatchNorm2d(c_out)
        self.act = nn.SiLU()

    def forward(self, x):
        return self.act(self.bn(self.conv(x)))


class Bottleneck(nn.Module):
    def __init__(self, c: int, shortcut: bool):
        super().__init__()
        self.cv1 = ConvBnSiLU(c, c, 3)
        self.cv2 = ConvBnSiLU(c, c, 3)
        self.shortcut = shortcut

    def forward(self, x):
        y = self.cv2(self.cv1(x))
        return x + y if self.shortcut else y


class CspBlock(nn.Module):
    """Splits the channels, refines one half, joins both."""

    def __init__(self, c_in: int, c_out: int, n: int, shortcut: bool = True):
        super().__init__()
        half = c_out // 2
        self.cv1 = ConvBnSiLU(c_in, half)
        self.cv2 = ConvBnSiLU(c_in, half)
        self.m = nn.Sequential(*(Bottleneck(half, shortcut) for _ in range(n)))
        self.cv3 = ConvBnSiLU(2 * half, c_out)

    def forward(self, x):
        return self.cv3(torch.cat((self.m(self.cv1(x)), self.cv2(x)), 1))


class Sppf(nn.Module):
    """Three chained max-pools, all scales joined."""

    def __init__(self, c: int, k: int = 5):
        super().__init__()
        self.cv1 = ConvBnSiLU(c, c // 2)
        self.pool = nn.MaxPool2d(k, 1, k // 2)
        self.cv2 = ConvBnSiLU(c * 2, c)

    def forward(self, x):
        x = self.cv1(x)
        a = self.pool(x)
        b = self.pool(a)
        return self.cv2(torch.cat((x, a, b, self.pool(b)), 1))


class Detector(nn.Module):
    """A small one-stage detector: CSP backbone, top-down and bottom-up neck, three heads."""

    def __init__(self, classes: int = 80, w: int = 32):
        super().__init__()
        self.stem = ConvBnSiLU(3, w, 3, 2)
        self.stage1 = nn.Sequential(ConvBnSiLU(w, 2 * w, 3, 2), CspBlock(2 * w, 2 * w, 1))
        self.stage2 = nn.Sequential(ConvBnSiLU(2 * w, 4 * w, 3, 2), CspBlock(4 * w, 4 * w, 2))
        self.stage3 = nn.Sequential(ConvBnSiLU(4 * w, 8 * w, 3, 2), CspBlock(8 * w, 8 * w, 2))
        self.stage4 = nn.Sequential(
            ConvBnSiLU(8 * w, 16 * w, 3, 2), CspBlock(16 * w, 16 * w, 1), Sppf(16 * w)
        )
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.lateral4 = ConvBnSiLU(16 * w, 8 * w)
        self.down3 = CspBlock(16 * w, 8 * w, 1, shortcut=False)
        self.lateral3 = ConvBnSiLU(8 * w, 4 * w)
        self.out2 = CspBlock(8 * w, 4 * w, 1, shortcut=False)
        self.reduce2 = ConvBnSiLU(4 * w, 4 * w, 3, 2)
        self.out3 = CspBlock(8 * w, 8 * w, 1, shortcut=False)
        self.reduce3 = ConvBnSiLU(8 * w, 8 * w, 3, 2)
        self.out4 = CspBlock(16 * w, 16 * w, 1, shortcut=False)
        self.heads = nn.ModuleList(nn.Conv2d(c * w, 3 * (classes + 5), 1) for c in (4, 8, 16))

    def forward(self, x):
        c2 = self.stage2(self.stage1(self.stem(x)))
        c3 = self.stage3(c2)
        p4 = self.lateral4(self.stage4(c3))
        p3 = self.lateral3(self.down3(torch.cat((self.up(p4), c3), 1)))
        n2 = self.out2(torch.cat((self.up(p3), c2), 1))
        n3 = self.out3(torch.cat((self.reduce2(n2), p3), 1))
        n4 = self.out4(torch.cat((self.reduce3(n3), p4), 1))
        return tuple(head(n) for head, n in zip(self.heads, (n2, n3, n4)))


def main() -> None:
    vision = torchvision.models
    image = torch.zeros(1, 3, 224, 224)
    models = {
        "resnet18": (vision.resnet18(), image),
        "resnet50": (vision.resnet50(), image),
        "mobilenet_v2": (vision.mobilenet_v2(), image),
        "googlenet": (vision.googlenet(init_weights=False, aux_logits=False), image),
        "vit_b_16": (vision.vit_b_16(), image),
        "detector": (Detector(), torch.zeros(1, 3, 640, 640)),
    }
    for name, (module, example) in models.items():
        path = OUT / f"{name}.onnx"
        written = export(module, (example,), path, structure_only=True, input_names=["images"])
        print(f"{path.name}: {len(written.graph.node)} nodes, {path.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
