"""Images: data sets, preprocessing, transforms, drawn characters."""

from quickstudy.domains.images.contrastive import Contrastive as Contrastive
from quickstudy.domains.images.contrastive_pretrain import ContrastivePretrain as ContrastivePretrain
from quickstudy.domains.images.views import Augmentation as Augmentation
from quickstudy.registry import Domain

DOMAIN = Domain(
    "images",
    tasks={
        "from_backbone": "quickstudy.domains.images.backbone:from_backbone",
        "efficientnet_lite0": "quickstudy.domains.images.lite0:efficientnet_lite0",
        "digits": "quickstudy.domains.images.mnist:digits",
        "mnist": "quickstudy.domains.images.mnist:mnist",
        "Omniglot": "quickstudy.domains.images.omniglot:Omniglot",
        "Preprocessing": "quickstudy.domains.images.preprocessing:Preprocessing",
        "Strokes": "quickstudy.domains.images.strokes:Strokes",
        "ColourJitter": "quickstudy.domains.images.transform:ColourJitter",
        "RandomCrop": "quickstudy.domains.images.transform:RandomCrop",
        "RandomFlip": "quickstudy.domains.images.transform:RandomFlip",
        "RandomAffine": "quickstudy.domains.images.transform:RandomAffine",
        "RandomResizedCrop": "quickstudy.domains.images.transform:RandomResizedCrop",
        "Resize": "quickstudy.domains.images.transform:Resize",
    },
    sources={"omniglot": "Omniglot", "strokes": "Strokes"},
    kind="quickstudy.domains.images.kind:IMAGES",
)
