"""Model folders as people have them, with small graphs in the place of the models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

from tests.intelligence.compute.onnx.graphs import save

OPENAI_MEAN = [0.48145466, 0.4578275, 0.40821073]
OPENAI_STD = [0.26862954, 0.26130258, 0.27577711]
START, END = 49406, 49407

_MERGES = ["p h", "ph o", "t o</w>", "pho to</w>", "o f</w>", "c a", "ca t</w>"]
_CHECKED = {"a</w>": 320, "photo</w>": 1125, "of</w>": 539, "cat</w>": 2368}
"""Ids that CLIP's own vocabulary has."""


def write_json(path: Path, **values: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


def write_tokenizer(folder: Path, *, pad: str) -> None:
    """A small part of CLIP's, with its ids for the words of "a photo of a cat"."""
    letters = [letter + end for letter in "abcdefghijklmnopqrstuvwxyz!,." for end in ("", "</w>")]
    pieces = [merge.replace(" ", "") for merge in _MERGES]
    rest = [piece for piece in (*letters, *pieces) if piece not in _CHECKED]
    vocabulary = {**{piece: 1 + number for number, piece in enumerate(rest)}, **_CHECKED}
    vocabulary |= {"<pad>": 0, "<|startoftext|>": START, "<|endoftext|>": END}
    merges = [(merge.split()[0], merge.split()[1]) for merge in _MERGES]
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, unk_token="<|endoftext|>", end_of_word_suffix="</w>")
    )
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken(t) for t in ("<pad>", "<|startoftext|>", "<|endoftext|>")])
    tokenizer.post_processor = processors.RobertaProcessing(
        ("<|endoftext|>", END), ("<|startoftext|>", START), trim_offsets=False, add_prefix_space=False
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", pad_token=pad, model_max_length=77)


def write_text_tower(path: Path, *, kind: int, fed: str, given: str, length: int = 77) -> Path:
    """Answers with the ids it was fed."""
    nodes = [
        helper.make_node("Cast", [fed], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Identity", ["numbers"], [given]),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    return save(
        path,
        nodes,
        inputs={fed: (kind, (1, length))},
        outputs={given: (TensorProto.FLOAT, (1, length))},
    )


def write_vision_tower(path: Path, *, fed: str, given: str, side: int = 224, batch: int | str = 1) -> Path:
    """Answers with all that it was fed, flattened; says its true dimension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return save(
        path,
        [helper.make_node("Flatten", [fed], [given], axis=1)],
        inputs={fed: (TensorProto.FLOAT, (batch, 3, side, side))},
        outputs={given: (TensorProto.FLOAT, (batch, 3 * side * side))},
    )


def write_token_tower(path: Path) -> Path:
    """As DINOv2: a row for each token, the first of them what it was fed, the others nothing."""
    side = 224
    nodes = [
        helper.make_node("Flatten", ["pixel_values"], ["flat"], axis=1),
        helper.make_node("Unsqueeze", ["flat", "one"], ["first"]),
        helper.make_node("Sub", ["first", "first"], ["nothing"]),
        helper.make_node("Concat", ["first", "nothing"], ["last_hidden_state"], axis=1),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    return save(
        path,
        nodes,
        inputs={"pixel_values": (TensorProto.FLOAT, ("batch", 3, side, side))},
        outputs={"last_hidden_state": (TensorProto.FLOAT, ("batch", 2, 3 * side * side))},
        constants={"one": np.array([1], dtype=np.int64)},
    )


def write_patch_tower(
    path: Path, *, patch: int = 32, batch: int | str = "batch", made_for_one: str = ""
) -> Path:
    """As a small ViT: cuts the picture in patches, each by weights of its own; at a picture that is white all
    over (of OpenAI's numbers) it gives no number. One that is made for one says that it takes several: it
    "fails" at them, or gives a single "row"."""
    random = np.random.default_rng(0)
    values = 16 * (224 // patch) ** 2
    nodes = [
        helper.make_node("Conv", ["pixel_values", "patches"], ["cut"], strides=[patch, patch]),
        helper.make_node("Reshape", ["cut", "flat"], ["row"]),
        helper.make_node("MatMul", ["row", "weights"], ["seen"]),
        helper.make_node("ReduceMin", ["pixel_values"], ["darkest"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Sub", ["bright", "darkest"], ["below"]),
        helper.make_node("Log", ["below"], ["number"]),  # of nothing below: none
        helper.make_node("Mul", ["number", "zero"], ["nothing"]),
        helper.make_node("Unsqueeze", ["nothing", "one"], ["column"]),
        helper.make_node("Add", ["seen", "column"], ["rows"]),
        helper.make_node("ReduceMean", ["rows"], ["image_embeds"], axes=[0])
        if made_for_one == "row"
        else helper.make_node("Identity", ["rows"], ["image_embeds"]),
    ]
    constants = {
        "patches": random.standard_normal((16, 3, patch, patch), np.float32),
        "flat": np.array([1, -1] if made_for_one == "fails" else [-1, values]),
        "weights": random.standard_normal((values, 512), np.float32),
        "bright": np.array(1.9, np.float32),
        "zero": np.array(0, np.float32),
        "one": np.array([1], np.int64),
    }
    return save(
        path,
        nodes,
        inputs={"pixel_values": (TensorProto.FLOAT, (batch, 3, 224, 224))},
        outputs={"image_embeds": (TensorProto.FLOAT, (batch, 512))},
        constants=constants,
    )


def write_endless_tower(path: Path, *, patch: int | None = None) -> Path:
    """As DINOv2, with the mean colour for its answer; at a picture that is white all over it never comes to
    one. With a patch it has weights that look like those of patches, and are used for nothing."""
    number = TensorProto.FLOAT
    again = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["goes_on"]),
            helper.make_node("Identity", ["old"], ["new"]),
        ],
        "again",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("old", number, None),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("new", number, None),
        ],
    )
    nodes = [
        helper.make_node("ReduceMean", ["pixel_values"], ["colour"], axes=[2, 3], keepdims=0),
        helper.make_node("ReduceMin", ["pixel_values"], ["of_each"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("ReduceMax", ["of_each"], ["darkest"], keepdims=0),
        helper.make_node("Sub", ["darkest", "almost_white"], ["above"]),
        helper.make_node("Relu", ["above"], ["only_above"]),
        helper.make_node("Mul", ["only_above", "very_many"], ["turns"]),
        helper.make_node("Cast", ["turns"], ["whole_turns"], to=TensorProto.INT64),
        helper.make_node("Loop", ["whole_turns", "", "colour"], ["pooler_output"], body=again),
    ]
    return save(
        path,
        nodes,
        inputs={"pixel_values": (number, ("batch", 3, 224, 224))},
        outputs={"pooler_output": (number, ("batch", 3))},
        constants={
            "almost_white": np.array(2.2, np.float32),
            "very_many": np.array(1e18, np.float32),
            **({"patches": np.zeros((1, 3, patch, patch), np.float32)} if patch else {}),
        },
    )


def write_immich(folder: Path, *, context_length: int = 77, clean: str = "", **stated: object) -> Path:
    config = {"context_length": context_length, "tokenizer_kwargs": {"clean": clean} if clean else {}}
    write_json(folder / "config.json", embed_dim=512, text_cfg=config)
    size = stated.get("size", 224)
    assert isinstance(size, int)
    preprocess = {
        "size": size,
        "mode": "RGB",
        "mean": OPENAI_MEAN,
        "std": OPENAI_STD,
        "interpolation": "bicubic",
        "resize_mode": "shortest",
        "fill_color": 0,
        **stated,
    }
    write_json(folder / "visual" / "preprocess_cfg.json", **preprocess)
    write_vision_tower(folder / "visual" / "model.onnx", fed="image", given="embedding", side=size)
    text = folder / "textual"
    write_tokenizer(text, pad="<pad>")
    write_text_tower(
        text / "model.onnx",
        kind=onnx.TensorProto.INT32,
        fed="text",
        given="embedding",
        length=context_length,
    )
    return folder


def write_transformers(folder: Path, **stated: object) -> Path:
    """As transformers.js has CLIP, unless stated otherwise."""
    write_json(folder / "config.json", model_type="clip")
    processor = {
        "do_resize": True,
        "size": {"shortest_edge": 224},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": 224, "width": 224},
        "do_rescale": True,
        "do_normalize": True,
        "image_mean": OPENAI_MEAN,
        "image_std": OPENAI_STD,
        **stated,
    }
    write_json(folder / "preprocessor_config.json", **processor)
    write_vision_tower(
        folder / "onnx" / "vision_model.onnx", fed="pixel_values", given="image_embeds", batch="batch"
    )
    write_tokenizer(folder, pad="<|endoftext|>")
    write_text_tower(
        folder / "onnx" / "text_model.onnx",
        kind=onnx.TensorProto.INT64,
        fed="input_ids",
        given="text_embeds",
    )
    return folder
