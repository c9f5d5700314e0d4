"""The models that are known by name. Where a repository or a number could not be checked, it says so."""

from __future__ import annotations

from intelligence.model_registry import (
    Commercial,
    Family,
    KnownFile,
    Licence,
    ModelEntry,
    Registry,
    Threshold,
)
from intelligence.vocabulary import TaskType

DETECTION, FACES = TaskType.FACE_DETECTION, TaskType.FACE_EMBEDDING
CLIP, DINO = TaskType.CLIP_EMBEDDING, TaskType.DINO_EMBEDDING

MIT = Licence(
    "MIT",
    Commercial.YES,
    "Free for any use; the notice of copyright goes with copies.",
    "https://opensource.org/license/mit",
)
APACHE = Licence(
    "Apache-2.0",
    Commercial.YES,
    "Free for any use; the licence and notices go with copies.",
    "https://www.apache.org/licenses/LICENSE-2.0",
)
INSIGHTFACE = Licence(
    "insightface-non-commercial",
    Commercial.NO,
    "The weights of insightface may be used for non-commercial research only. Any other use needs a licence "
    "bought from insightface.",
    "https://github.com/deepinsight/insightface#license",
)
APPLE = Licence(
    "apple-amlr",
    Commercial.CONDITIONS,
    "Apple's licence for machine learning research models. It sets limits to what the weights may be used "
    "for: read it before you use them for anything but research.",
    "https://github.com/apple/ml-mobileclip/blob/main/LICENSE_weights_data",
)
DINOV3_LICENCE = Licence(
    "dinov3",
    Commercial.CONDITIONS,
    "Meta's DINOv3 License. Commercial use is allowed; copies may only be passed on with the agreement, and "
    "military use and what trade controls forbid is excluded.",
    "https://github.com/facebookresearch/dinov3/blob/main/LICENSE.md",
)

_IMMICH_SCORE = Threshold(0.7, "Immich's least score for a face")
_ZOO_SCORE = Threshold(0.7, "0.7 finds most faces without false ones; OpenCV's zoo shows its own from 0.9")
_IMMICH_FACES = Threshold(0.5, "Immich's largest cosine distance for one person, 0.5")
_IMMICH_CLIP = Threshold(0.99, "Immich's largest cosine distance for duplicates, 0.01")
_DINO_RULE = Threshold(0.9, "a rule of thumb for DINO, which nobody has measured for this model")

_IMMICH_FACE_FILES = (KnownFile("detection/model.onnx"), KnownFile("recognition/model.onnx"))
_IMMICH_CLIP_FILES = (
    KnownFile("config.json"),
    KnownFile("visual/model.onnx"),
    KnownFile("visual/preprocess_cfg.json"),
    KnownFile("textual/model.onnx"),
    KnownFile("textual/tokenizer.json"),
    KnownFile("textual/tokenizer_config.json"),
)
_TRANSFORMERS_CLIP_FILES = (
    KnownFile("config.json"),
    KnownFile("preprocessor_config.json"),
    KnownFile("tokenizer.json"),
    KnownFile("tokenizer_config.json"),
    KnownFile("onnx/vision_model.onnx"),
    KnownFile("onnx/text_model.onnx"),
)
_TRANSFORMERS_IMAGE_FILES = (KnownFile("preprocessor_config.json"), KnownFile("onnx/model.onnx"))
_JSON_AND = ("*.json", "*.txt")
_WEIGHTS_BESIDE = ("onnx/*.onnx_data",)


def _immich_faces(name: str, about: str, memory_mb: int | None) -> ModelEntry:
    return ModelEntry(
        name,
        {DETECTION: Family.SCRFD, FACES: Family.ARCFACE},
        about,
        INSIGHTFACE,
        repository=f"immich-app/{name}",
        files=_IMMICH_FACE_FILES,
        # Weights may lie in files beside the model.
        wanted=("detection/*", "recognition/*"),
        dimension=512,
        detection_from=_IMMICH_SCORE,
        same_person_from=_IMMICH_FACES,
        memory_mb=memory_mb,
    )


def _immich_clip(
    name: str,
    about: str,
    licence: Licence,
    dimension: int,
    *,
    memory_mb: int | None = None,
    is_default: bool = False,
) -> ModelEntry:
    return ModelEntry(
        name,
        {CLIP: Family.OPEN_CLIP},
        about,
        licence,
        repository=f"immich-app/{name}",
        files=_IMMICH_CLIP_FILES,
        wanted=("config.json", "visual/*", "textual/*"),
        dimension=dimension,
        near_duplicates_from=_IMMICH_CLIP,
        memory_mb=memory_mb,
        is_default=is_default,
    )


def _transformers_clip(name: str, repository: str, about: str, licence: Licence) -> ModelEntry:
    return ModelEntry(
        name,
        {CLIP: Family.TRANSFORMERS_CLIP},
        about,
        licence,
        repository=repository,
        files=_TRANSFORMERS_CLIP_FILES,
        wanted=(*_JSON_AND, "onnx/vision_model.onnx", "onnx/text_model.onnx", *_WEIGHTS_BESIDE),
        dimension=512,
    )


def _transformers_dino(
    name: str, repository: str, family: Family, about: str, licence: Licence, *, is_default: bool = False
) -> ModelEntry:
    return ModelEntry(
        name,
        {DINO: family},
        about,
        licence,
        repository=repository,
        files=_TRANSFORMERS_IMAGE_FILES,
        wanted=("*.json", "onnx/model.onnx", *_WEIGHTS_BESIDE),
        dimension=384,
        near_duplicates_from=_DINO_RULE,
        memory_mb=90,
        is_default=is_default,
    )


REGISTRY = Registry(
    (
        ModelEntry(
            "yunet",
            {DETECTION: Family.YUNET},
            "Finds faces, small and fast; misses very large ones.",
            MIT,
            repository="opencv/face_detection_yunet",
            files=(
                KnownFile(
                    "face_detection_yunet_2023mar.onnx",
                    "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
                    232_589,
                ),
            ),
            detection_from=_ZOO_SCORE,
            memory_mb=30,
            is_default=True,
        ),
        ModelEntry(
            "yunet-dynamic",
            {DETECTION: Family.YUNET},
            "YuNet with open sizes: looks at two scales, so that it finds large faces too.",
            APACHE,
            files=(
                KnownFile(
                    "yunet_s_dynamic.onnx",
                    "daede24002cc8590f457998cc5e6c9e8b82f45f6bd969506a8913cd4ed10a2d3",
                    237_823,
                ),
            ),
            detection_from=_ZOO_SCORE,
            memory_mb=60,
        ),
        ModelEntry(
            "sface",
            {FACES: Family.SFACE},
            "Recognises people; LFW 99.40 %.",
            APACHE,
            repository="opencv/face_recognition_sface",
            files=(
                KnownFile(
                    "face_recognition_sface_2021dec.onnx",
                    "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
                    38_696_353,
                ),
            ),
            dimension=128,
            same_person_from=Threshold(0.363, "OpenCV's own, at which LFW was measured"),
            memory_mb=40,
            is_default=True,
        ),
        ModelEntry(
            "auraface",
            {FACES: Family.ARCFACE},
            "Recognises people; the recogniser of AuraFace alone, to go with YuNet: the other files of its "
            "repository are insightface's.",
            APACHE,
            repository="fal/AuraFace-v1",
            files=(KnownFile("glintr100.onnx"),),
            dimension=512,
            same_person_from=Threshold(0.5, "that of models of its kind; not measured for this one"),
            memory_mb=261,
        ),
        ModelEntry(
            "auraface-batched",
            {FACES: Family.ARCFACE},
            "As auraface, by its export for several faces at once in another's repository, whose own word on "
            "the licence nobody has read.",
            APACHE,
            repository="imagent/auraface-onnx",
            files=(
                KnownFile(
                    "auraface.onnx",
                    "d2c9d76203c75749d9fee70353eb7698894f751cd9b6f562752596c553222c01",
                    260_694_211,
                ),
            ),
            dimension=512,
            same_person_from=Threshold(0.5, "that of models of its kind; not measured for this one"),
            memory_mb=261,
        ),
        ModelEntry(
            "mobilefacenet",
            {FACES: Family.IMAGENET},
            "Recognises people, very small and fast.",
            APACHE,
            files=(
                KnownFile(
                    "MobileFaceNet.onnx",
                    "b7120c095d60094f28a4a54ba6a8bf51b297a6273fb40ef6350dfec1f63d9507",
                    3_998_070,
                ),
            ),
            dimension=128,
            same_person_from=Threshold(
                0.5, "36 faces of 24 people: the same person from 0.53, others up to 0.47"
            ),
            memory_mb=10,
        ),
        _immich_faces("buffalo_l", "Finds faces and recognises people; Immich's default. LFW 99.83 %.", 191),
        _immich_faces("buffalo_m", "As buffalo_l, with a smaller detector.", 177),
        _immich_faces("buffalo_s", "Finds faces and recognises people, small. LFW 99.70 %.", 16),
        _immich_faces("antelopev2", "Finds faces and recognises people, large.", None),
        _immich_clip(
            "ViT-B-32__openai",
            "Finds images by words and by what they show; Immich's default.",
            MIT,
            512,
            memory_mb=605,
            is_default=True,
        ),
        _immich_clip(
            "ViT-B-32__laion2b-s34b-b79k", "As ViT-B-32__openai, trained on LAION.", MIT, 512, memory_mb=605
        ),
        _immich_clip("ViT-L-14__openai", "As ViT-B-32__openai, larger.", MIT, 768),
        _immich_clip(
            "ViT-B-16-SigLIP2__webli",
            "Finds images by words of many languages.",
            APACHE,
            768,
        ),
        _transformers_clip(
            "clip-vit-base-patch32",
            "Xenova/clip-vit-base-patch32",
            "OpenAI's ViT-B-32 for transformers.js.",
            MIT,
        ),
        _transformers_clip(
            "mobileclip_s0", "Xenova/mobileclip_s0", "Finds images by words, small and fast.", APPLE
        ),
        _transformers_clip("mobileclip_blt", "Xenova/mobileclip_blt", "MobileCLIP, the largest.", APPLE),
        _transformers_dino(
            "dinov2-small",
            "onnx-community/dinov2-small",
            Family.DINOV2,
            "Finds look-alikes and near-duplicates.",
            APACHE,
            is_default=True,
        ),
        _transformers_dino(
            "dinov3-vits16",
            "onnx-community/dinov3-vits16-pretrain-lvd1689m-ONNX",
            Family.DINOV3,
            "Finds look-alikes and near-duplicates, newer than DINOv2.",
            DINOV3_LICENCE,
        ),
    )
)
