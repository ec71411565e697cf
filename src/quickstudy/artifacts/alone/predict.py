"""Name images with a predictor that `quickstudy export` wrote. This program needs no quickstudy: NumPy, Pillow, and ONNX Runtime
for a .onnx file, or PyTorch for a .pt2 file.

    python predictor.onnx.py [--unknown] IMAGE ...        one JSON record a line, as `quickstudy predict --json` prints them

It reads two files beside it: predictor.onnx, from images to logits, and predictor.onnx.json, with the numbers used below.
It takes images of 8 and 16 bits, grey or colour, transparent or not.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

MODEL = Path(__file__).with_suffix("")
SETTINGS = json.loads(Path(f"{MODEL}.json").read_text(encoding="utf-8"))


def read(path: str) -> np.ndarray:
    """The pixels of an image, uint8 (channels, size, size): upright, on white where transparent, shrunk, cropped, inverted."""
    how = SETTINGS["preprocessing"]
    size = how["size"]
    image: Image.Image = Image.open(path)
    image.draft(None, (2 * size, 2 * size))  # a large JPEG is decoded no larger than needed
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits
        image = Image.fromarray(np.rint(np.asarray(image).astype(np.int64).clip(0, 65535) / 257).astype(np.uint8))
    coloured = image.mode not in ("1", "L", "LA", "La")
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode in ("RGBA", "RGBa", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB" if coloured else "L").convert("L" if how["channels"] == 1 else "RGB")
    if image.size != (size, size):
        shrinks = size < min(image.size)
        image = ImageOps.fit(image, (size, size), Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC)
    pixels = np.array(image, dtype=np.uint8)
    pixels = pixels[None] if how["channels"] == 1 else pixels.transpose(2, 0, 1)
    return 255 - pixels if how["invert"] else pixels


def scaled(pixels: np.ndarray) -> np.ndarray:
    """Pixels (examples, channels, size, size) as the network takes them: float32 in [0, 1], less the mean, over the deviation."""
    how = SETTINGS["preprocessing"]
    x = pixels.astype(np.float32) / np.float32(255)
    if how["mean"] is None:
        return x
    mean, deviation = (np.array(how[name], np.float32)[:, None, None] for name in ("mean", "std"))
    return (x - mean) / deviation


def logits_of(images: np.ndarray) -> np.ndarray:
    """The network's answers, (examples, classes)."""
    if MODEL.suffix == ".onnx":
        import onnxruntime  # type: ignore[import-untyped]

        (logits,) = onnxruntime.InferenceSession(str(MODEL)).run(["logits"], {"images": images})
        return logits
    import torch

    return torch.export.load(MODEL).module()(torch.from_numpy(images)).detach().numpy()


def probabilities_of(logits: np.ndarray) -> np.ndarray:
    """softmax(logits / temperature)."""
    scaled_logits = logits.astype(np.float64) / SETTINGS["temperature"]
    weights = np.exp(scaled_logits - scaled_logits.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)


def is_unknown(logits: np.ndarray) -> np.ndarray:
    """Which images seem to be of no class: those whose score is below the threshold."""
    rule, temperature = SETTINGS["unknown"], SETTINGS["temperature"]
    if rule["score"] == "MaxProbability":
        return probabilities_of(logits).max(1) < rule["threshold"]
    scaled_logits = logits.astype(np.float64) / temperature
    most = scaled_logits.max(1)
    energy = temperature * (most + np.log(np.exp(scaled_logits - most[:, None]).sum(1)))  # "Energy"
    return energy < rule["threshold"]


def main(words: list[str]) -> int:
    """Print a record of each image; returns the exit code."""
    rejects, files = "--unknown" in words, [word for word in words if word != "--unknown"]
    if not files or (rejects and SETTINGS["unknown"] is None):
        print("no image is given" if not files else f"{MODEL.name} has no threshold for --unknown", file=sys.stderr)
        return 2
    logits = logits_of(scaled(np.stack([read(file) for file in files])))
    unknown = is_unknown(logits) if rejects else [False] * len(files)
    for file, row, rejected in zip(files, probabilities_of(logits), unknown, strict=True):
        nearest = SETTINGS["classes"][int(row.argmax())]
        record = {"file": file, "class": "unknown" if rejected else nearest, "probability": round(float(row.max()), 7)}
        print(json.dumps(record | ({"nearest": nearest} if rejects else {}) | {"head": SETTINGS["head"]}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
